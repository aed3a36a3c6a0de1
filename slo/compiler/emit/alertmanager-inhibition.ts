/**
 * `generated/alertmanager-inhibition.yaml`: which alert silences which. One incident wakes one person once: a page
 * silences the tickets of its own objective, and of several burn tiers only the fastest speaks.
 *
 * Never silenced: another objective, another group of the same one (`equal` holds the grouping labels), missing data
 * and a missed expectation, which say something that a burn does not.
 */
import { stringify } from 'yaml';
import type { Model, TierName } from '../model.ts';
import { GENERATED_NOTE, type GeneratedFile } from './generated-file.ts';

const TIERS: readonly TierName[] = ['fast', 'medium', 'slow', 'drain'];
/** Tickets that a page of the same objective makes redundant: they tell of the same bad events, later or by traffic. */
const REDUNDANT_TICKETS = 'SLOBurn|SLOTrafficCollapse';

export interface InhibitRule {
  readonly source_matchers: readonly string[];
  readonly target_matchers: readonly string[];
  readonly equal: readonly string[];
}

export function emitAlertmanagerInhibition(model: Model): readonly GeneratedFile[] {
  const text = stringify({ inhibit_rules: inhibitRules(model) }, { lineWidth: 0, aliasDuplicateObjects: false });
  return [{ path: 'alertmanager-inhibition.yaml', text: `# ${GENERATED_NOTE}\n${text}` }];
}

export function inhibitRules({ objectives }: Model): readonly InhibitRule[] {
  const groupings = objectives.flatMap(({ grouping }) => (grouping === null ? [] : [grouping.label]));
  // A label that neither alert has counts as equal.
  const equal = ['service', 'slo', ...[...new Set(groupings)].sort()];
  const pageOverTicket: InhibitRule = {
    source_matchers: ['slo!=""', 'severity="page"'],
    target_matchers: ['severity="ticket"', `alertname=~"${REDUNDANT_TICKETS}"`],
    equal,
  };
  const fasterOverSlower = TIERS.slice(0, -1).map(
    (tier, index): InhibitRule => ({
      source_matchers: ['alertname="SLOBurn"', `tier="${tier}"`],
      target_matchers: ['alertname="SLOBurn"', `tier=~"${TIERS.slice(index + 1).join('|')}"`],
      equal,
    }),
  );
  return [pageOverTicket, ...fasterOverSlower];
}
