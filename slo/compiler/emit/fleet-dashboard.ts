/** The fleet on one page: every listed service by how fast it burns, and who has traffic without a promise. */
import { FLEET_SERIES } from './fleet-rules.ts';
import { FULL, linesPanel, type Page, statPanel, tablePanel } from './panels.ts';

const BURNING_MAX = 50;
const { budget, remaining } = FLEET_SERIES;
const JOINED = `on (service, slo) group_left (owner, class) ${budget}`;

export function fleetDashboard(): Page {
  return {
    uid: 'slo-fleet',
    title: 'Fleet',
    description: 'All services of slo/fleet.yaml, told apart by data: a new one needs no new page.',
    from: 'now-1d',
    rows: [
      {
        title: 'Now',
        panels: [
          tablePanel({
            title: 'Burning',
            description:
              'Bad share of the last hour over what is allowed. Above 14.4 for the fast page, above 6 for the medium one.',
            width: 12,
            height: 12,
            columns: { 'Burn, 1h': `topk(${BURNING_MAX}, fleet:error:ratio1h / ${JOINED})` },
          }),
          tablePanel({
            title: 'Firing',
            description: 'Alerts of listed services, and services that nobody listed.',
            width: 12,
            height: 12,
            columns: { '': 'ALERTS{alertname=~"SLOBurn|SLONoData|ServiceWithoutObjective",alertstate="firing"}' },
          }),
        ],
      },
      {
        title: 'Budgets',
        panels: [
          statPanel({
            title: 'Listed promises',
            description: 'Rows of the table that every rule joins.',
            expr: `count(${budget}) or vector(0)`,
            unit: 'short',
            decimals: 0,
            steps: [{ from: null, color: 'green' }],
            width: 6,
            height: 8,
          }),
          linesPanel({
            title: 'Budget left, by owner',
            description: 'Of each owner’s worst service.',
            width: 18,
            unit: 'percentunit',
            queries: [{ expr: `min by (owner) (${remaining})`, legend: '{{owner}}' }],
          }),
          tablePanel({
            title: 'Budget left',
            description: 'Of 30 days. Below 0: overspent.',
            width: FULL,
            columns: { 'Budget left': `bottomk(${BURNING_MAX}, ${remaining})` },
            units: { 'Budget left': 'percentunit' },
          }),
        ],
      },
    ],
  };
}
