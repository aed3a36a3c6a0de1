/**
 * `generated/runbooks/`: what the person opens whom an alert woke. Half is written by people (`x.runbook.md`: what it
 * means, how to see it, likely causes, what to do, how to know it is over), half is generated: the promise, when each
 * alert fires, and the queries with this objective's own names, so that no number in a runbook is ever out of date.
 */
import { alertsOf } from '../alerts.ts';
import { decimalNumber, decimalText } from '../decimal.ts';
import { durationText } from '../duration.ts';
import { type Alert, NO_DATA_AFTER_SECONDS, type Objective } from '../model.ts';
import { SERIES, tierRatio } from '../series.ts';
import { percentText } from './alert-text.ts';
import type { EmitSources } from './emitters.ts';
import { GENERATED_NOTE, type GeneratedFile } from './generated-file.ts';
import { measurement, ofObjective, spenders, spentBy, thresholdQuery } from './objective-query.ts';

export const FLEET_RUNBOOK = 'slo/fleet.runbook.md';
/** The sections of the written half, in this order. */
export const RUNBOOK_SECTIONS = [
  'What it means',
  'How to see it',
  'Likely causes',
  'What to do',
  'How to know it is over',
] as const;

const LAST_HOUR = { duration: '1h', seconds: '3600' } as const;

export function emitRunbooks({ model, runbooks }: Omit<EmitSources, 'fleet'>): readonly GeneratedFile[] {
  const fleet = { path: 'runbooks/fleet.md', text: `${note()}\n\n${written(runbooks, FLEET_RUNBOOK)}` };
  return [...model.objectives.map((objective) => runbook(objective, written(runbooks, objective.runbook))), fleet];
}

function runbook(objective: Objective, human: string): GeneratedFile {
  const [heading = '', ...body] = human.split('\n');
  const parts = [note(), heading, facts(objective), alertTable(objective), body.join('\n').trim(), queries(objective)];
  return { path: `runbooks/${objective.name}.md`, text: `${parts.join('\n\n')}\n` };
}

function written(runbooks: EmitSources['runbooks'], path: string): string {
  const text = runbooks.get(path);
  if (text === undefined) throw new Error(`${path} is not there`);
  return text;
}

function note(): string {
  return `<!-- ${GENERATED_NOTE} -->`;
}

function facts(objective: Objective): string {
  const { exclusions, file, name, owner, periodSeconds, service, target } = objective;
  const rows = [
    ['promise', objective.description],
    ['budget', `${budgetText(objective)} in ${durationText(periodSeconds)} (target ${percentText(target)})`],
    ['owner', `${owner}, for the service \`${service}\``],
    ['dashboard', `\`/d/slo-${name}\``],
    ['defined in', `\`${file}\``],
    [
      'left out now',
      exclusions.length === 0 ? 'nothing' : exclusions.map(({ id, reason }) => `${id}: ${reason}`).join('; '),
    ],
  ];
  return ['| | |', '|---|---|', ...rows.map((cells) => `| ${cells.join(' | ')} |`)].join('\n');
}

/** In minutes for slices; in events a day at the expected rate, where one is known. */
function budgetText({ budget, expectedRate, grouping, indicator, periodSeconds }: Objective): string {
  const share = percentText(budget);
  const each = grouping === null ? '' : `, for each ${grouping.label}`;
  if (indicator.kind === 'slices') {
    const minutes = (decimalNumber(budget) * periodSeconds) / 60;
    return `${share} of time${each}: ${rounded(minutes)} minutes`;
  }
  if (expectedRate === null) return `${share} of events${each}`;
  const daily = decimalNumber(budget) * decimalNumber(expectedRate) * 86_400;
  return `${share} of events${each}: about ${rounded(daily)} a day at ${decimalText(expectedRate)} a second`;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function alertTable(objective: Objective): string {
  const rows = alertsOf(objective).map(
    (alert) =>
      `| \`${alert.name}\` | ${alert.severity} | ${alert.kind === 'burn' ? alert.tier.name : ''} | ${firesWhen(objective, alert)} |`,
  );
  return ['| alert | severity | tier | fires when |', '|---|---|---|---|', ...rows].join('\n');
}

function firesWhen({ grouping, indicator }: Objective, alert: Alert): string {
  switch (alert.kind) {
    case 'burn': {
      const { badEventsMin, factor, longSeconds, shortSeconds, threshold } = alert.tier;
      const events = indicator.kind === 'slices' ? 'bad slices' : 'bad events';
      return `more than ${percentText(threshold)} is bad over ${durationText(longSeconds)} and over ${durationText(shortSeconds)} (${decimalText(factor)} times the budget), with at least ${badEventsMin} ${events}`;
    }
    case 'no-data':
      return `nothing is measured${grouping === null ? '' : ` for a ${grouping.label}`}, once rules have run for ${durationText(NO_DATA_AFTER_SECONDS)}`;
    case 'collapse':
      return `traffic is below ${percentText(alert.collapse.ratio)} of yesterday and last week, where that was ${decimalText(alert.collapse.baselineMin)} a second or more`;
    case 'expectation':
      return `\`${alert.expectation.measure.metric}\` is above \`${alert.expectation.limit.metric}\`, where that is above 0`;
  }
}

function queries(objective: Objective): string {
  const { indicator, tiers } = objective;
  const of = ofObjective(objective);
  const spent = spentBy(objective, { labels: spenders(objective), window: LAST_HOUR });
  const all: readonly (readonly [string, string])[] = [
    ['Budget left: 1 whole, 0 spent', `${SERIES.remaining}${of}`],
    ...tiers.map((tier): readonly [string, string] => [
      `Tier ${tier.name}: fires above ${decimalText(tier.threshold)}, when its ${durationText(tier.shortSeconds)} is above it too`,
      `${tierRatio(tier, tier.longSeconds)}${of}`,
    ]),
    ['Who spent it in the last hour', `topk(10, ${spent}) > 0`],
    ...(indicator.kind === 'slices'
      ? ([
          ['What is measured', measurement(indicator)],
          ['and what it is compared with', thresholdQuery(indicator.threshold)],
        ] as const)
      : []),
  ];
  return ['## Queries', ...all.map(([title, query]) => `${title}:\n\n\`\`\`promql\n${query}\n\`\`\``)].join('\n\n');
}
