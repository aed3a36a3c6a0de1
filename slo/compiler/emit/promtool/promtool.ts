/**
 * The executable proof of every alert, as files for `promtool test rules`: for each objective the rules that a set of
 * proofs needs (copied from the shipped ones, word by word) and the tests. `npm run slo -- prove` runs them all.
 *
 * | set | fed with | grid |
 * |---|---|---|
 * | `pages` | the objective's own metrics | scrape and evaluation interval of production |
 * | `slow-pages` | the same, for raw windows over an hour | twice as coarse: no rule knows the interval |
 * | `tickets-TIER`, `traffic`, `period` | recorded 5-minute rates | 5 minutes; 10 for windows over a day |
 * | `joined` | the objective's own metrics, for a day | 1 minute |
 * | `excluded-…` | as above, on the rules with an exclusion | as above |
 */
import { BASE_WINDOW_SECONDS, type Environment, type Model, type Objective, type Tier } from '../../model.ts';
import { SERIES, weightedRatio } from '../../series.ts';
import type { GeneratedFile } from '../generated-file.ts';
import { type Rule, type RuleGroup, ruleGroups } from '../prometheus.ts';
import { rawBurnProofs } from './burn-proofs.ts';
import { guardProofs, patientProofs } from './guard-proofs.ts';
import { withNeighbours } from './neighbours.ts';
import { neededRules } from './needed-rules.ts';
import { type Proof, proofFileText, ruleFileText } from './proof.ts';
import {
  identityOf,
  JOINING_GRID,
  joiningProof,
  SEEDED,
  seedGrid,
  seededBurnProofs,
  weightedProof,
} from './seeded-proofs.ts';
import { excludedPageProofs, excludedTicketProofs, withExclusion } from './exclusion-proofs.ts';
import { expectationProofs, trafficProofs } from './watch-proofs.ts';

export interface ProofSet {
  readonly objective: Objective;
  /** As in the table above: `pages`, `tickets-slow` … */
  readonly name: string;
  readonly evaluationSeconds: number;
  readonly groups: readonly RuleGroup[];
  readonly proofs: readonly Proof[];
}

export function emitPromtoolProofs(model: Model): readonly GeneratedFile[] {
  return proofSets(model).flatMap(proofSetFiles);
}

export function proofSetFiles(set: ProofSet): readonly GeneratedFile[] {
  const { evaluationSeconds, groups, proofs } = set;
  const rules = `${baseName(set)}.rules.yaml`;
  return [
    { path: `proofs/${rules}`, text: ruleFileText(groups) },
    { path: proofSetPath(set), text: proofFileText({ ruleFiles: [rules], evaluationSeconds, proofs }) },
  ];
}

/** Where the set's tests are, below `slo/generated`. */
export function proofSetPath(set: ProofSet): string {
  return `proofs/${baseName(set)}.test.yaml`;
}

function baseName({ name, objective }: ProofSet): string {
  return `${objective.name}.${name}`;
}

/** The same as data: for mutation, which holds the proofs against rules that were broken on purpose. */
export function proofSets({ environment, objectives }: Model): readonly ProofSet[] {
  // One proof joins raw metrics and derived tiers: the rules between are the same text for every objective.
  const joined = objectives.find(({ grouping, indicator }) => grouping === null && indicator.kind !== 'slices');
  return objectives
    .flatMap((objective) => [...setsOf(objective, environment), ...(objective === joined ? joinedSet(objective) : [])])
    .filter(({ proofs }) => proofs.length > 0)
    .map((set) => {
      const identity = identityOf(set.objective);
      return { ...set, proofs: withNeighbours({ ...set, identity }) };
    });
}

function setsOf(objective: Objective, environment: Environment): readonly ProofSet[] {
  // Dated entries of the repository are proved with a date of their own.
  const plain = { ...objective, exclusions: [] };
  const excluded = withExclusion(objective);
  const coarse = coarser(environment);
  const { evaluationSeconds } = environment;
  const live = { evaluationSeconds, fed: NONE };
  const set = (name: ProofSet['name'], of: Objective, more: SetParts): ProofSet => ({
    objective: of,
    name,
    evaluationSeconds: more.evaluationSeconds,
    groups: neededRules(ruleGroups(of), more),
    proofs: more.proofs,
  });
  const pages = { objective: plain, environment, tiers: rawTiers(plain, isQuick) };
  const slowPages = { objective: plain, environment: coarse, tiers: rawTiers(plain, (tier) => !isQuick(tier)) };
  const excludedPages = { objective: excluded, environment, tiers: rawTiers(excluded, isQuick) };
  const seeded = { objective: plain, environment: seedGrid(BASE_WINDOW_SECONDS), tiers: [] };
  return [
    set('pages', plain, {
      ...live,
      isWanted: (rule) => isOfTiers(rule, pages.tiers) || isWatch(rule),
      proofs: [...rawBurnProofs(pages), ...guardProofs(pages), ...expectationProofs(pages)],
    }),
    set('slow-pages', plain, {
      ...live,
      evaluationSeconds: coarse.evaluationSeconds,
      isWanted: (rule) => isOfTiers(rule, slowPages.tiers),
      proofs: [...rawBurnProofs(slowPages), ...patientProofs(slowPages)],
    }),
    set('traffic', plain, {
      evaluationSeconds: BASE_WINDOW_SECONDS,
      fed: SEEDED,
      isWanted: (rule) =>
        'alert' in rule ? rule.alert === 'SLOTrafficCollapse' : rule.record === SERIES.baselineKnown,
      proofs: trafficProofs(seeded),
    }),
    set('period', plain, {
      evaluationSeconds: BASE_WINDOW_SECONDS,
      fed: SEEDED,
      isWanted: (rule) => 'record' in rule && rule.record === weightedRatio(objective.periodSeconds),
      proofs: [weightedProof(seeded)],
    }),
    set('excluded-pages', excluded, {
      ...live,
      isWanted: (rule) => isOfTiers(rule, pages.tiers),
      proofs: excludedPageProofs(excludedPages),
    }),
    set('excluded-slow-pages', excluded, {
      ...live,
      evaluationSeconds: coarse.evaluationSeconds,
      isWanted: (rule) => isOfTiers(rule, slowPages.tiers),
      proofs: excludedPageProofs({ ...slowPages, objective: excluded }),
    }),
    ...plain.tiers
      .filter(({ windows }) => windows === 'derived')
      .flatMap((tier) => ticketSets({ plain, excluded, tier })),
  ];
}

/** A set for each derived tier: the windows of the longer one would be read at every step of the shorter one. */
function ticketSets(options: {
  readonly plain: Objective;
  readonly excluded: Objective;
  readonly tier: Tier;
}): readonly ProofSet[] {
  const { excluded, plain, tier } = options;
  const evaluationSeconds = tier.longSeconds <= 86_400 ? BASE_WINDOW_SECONDS : 2 * BASE_WINDOW_SECONDS;
  const environment = seedGrid(evaluationSeconds);
  const groups = (objective: Objective): readonly RuleGroup[] =>
    neededRules(ruleGroups(objective), { isWanted: (rule) => isOfTiers(rule, [tier]), fed: SEEDED });
  const context = { objective: plain, environment, tiers: [tier] };
  return [
    {
      objective: plain,
      name: `tickets-${tier.name}`,
      evaluationSeconds,
      groups: groups(plain),
      proofs: seededBurnProofs(context),
    },
    {
      objective: excluded,
      name: `excluded-tickets-${tier.name}`,
      evaluationSeconds,
      groups: groups(excluded),
      proofs: excludedTicketProofs({ ...context, objective: excluded }),
    },
  ];
}

interface SetParts {
  readonly evaluationSeconds: number;
  readonly fed: ReadonlySet<string>;
  readonly isWanted: (rule: Rule) => boolean;
  readonly proofs: readonly Proof[];
}

const NONE: ReadonlySet<string> = new Set();

function rawTiers({ tiers }: Objective, isWanted: (tier: Tier) => boolean): readonly Tier[] {
  return tiers.filter((tier) => tier.windows === 'raw' && isWanted(tier));
}

function isQuick({ longSeconds }: Tier): boolean {
  return longSeconds <= 3600;
}

function coarser(environment: Environment): Environment {
  const { evaluationSeconds, scrapeSeconds } = environment;
  return { ...environment, scrapeSeconds: 2 * scrapeSeconds, evaluationSeconds: 2 * evaluationSeconds };
}

function joinedSet(objective: Objective): readonly ProofSet[] {
  const proof = joiningProof(objective);
  if (proof === undefined) return [];
  const tier = objective.tiers.find(({ windows }) => windows === 'derived')?.name;
  const groups = neededRules(ruleGroups({ ...objective, exclusions: [] }), {
    isWanted: (rule) => 'alert' in rule && rule.labels['tier'] === tier,
  });
  return [{ objective, name: 'joined', evaluationSeconds: JOINING_GRID.evaluationSeconds, groups, proofs: [proof] }];
}

/** Missing data and missed expectations: minutes of raw samples prove them. */
function isWatch(rule: Rule): boolean {
  return 'alert' in rule && (rule.alert === 'SLONoData' || rule.alert === 'SLOExpectationMissed');
}

function isOfTiers(rule: Rule, tiers: readonly Tier[]): boolean {
  return 'alert' in rule && tiers.some(({ name }) => rule.labels['tier'] === name);
}
