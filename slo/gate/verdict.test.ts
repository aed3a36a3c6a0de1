import assert from 'node:assert/strict';
import { before, describe, it } from 'mocha';
import type { Policy } from '../compiler/settings.ts';
import { compiled } from '../compiled.ts';
import {
  type Change,
  EXIT_CODES,
  type Evidence,
  gateVerdict,
  type Override,
  type Standing,
  type Verdict,
} from './verdict.ts';

const HEALTHY: Standing = { name: 'api', coverage: 1, budgetLeft: 0.8, burn: 0.5 };
const REASON: Override = { author: 'ana', reason: 'The fix of the outage waits behind this gate.' };

const EVIDENCE = {
  unreachable: { kind: 'unreachable', why: 'connect ECONNREFUSED' },
  'no rules': { kind: 'no-rules' },
  'never covered': standings({ coverage: null }),
  'half covered': standings({ coverage: 0.5 }),
  'not measured': standings({ budgetLeft: null }),
  idle: standings({ budgetLeft: 'idle', burn: null }),
  healthy: standings({}),
  careful: standings({ budgetLeft: 0.4 }),
  low: standings({ budgetLeft: 0.1 }),
  spent: standings({ budgetLeft: -0.2 }),
  burning: standings({ burn: 9 }),
  'spent and burning': standings({ budgetLeft: -0.2, burn: 9 }),
} satisfies Record<string, Evidence>;
type Case = keyof typeof EVIDENCE;

function standings(change: Partial<Standing>): Evidence {
  return { kind: 'standings', standings: [HEALTHY, { ...HEALTHY, name: 'other', ...change }] };
}

/** Evidence → verdict for an ordinary change, a small one, a repair; and for each said to be the first deployment. */
const TABLE: Readonly<Record<Case, readonly [Expected, Expected, Expected, Expected, Expected, Expected]>> = {
  //                    ordinary  small     repair    first:    small     repair
  unreachable: ['unknown', 'unknown', 'unknown', 'unknown', 'unknown', 'unknown'],
  'no rules': ['unknown', 'unknown', 'unknown', 'open', 'open', 'open'],
  'never covered': ['unknown', 'unknown', 'unknown', 'closed', 'closed', 'closed'],
  'half covered': ['unknown', 'unknown', 'unknown', 'closed', 'closed', 'closed'],
  'not measured': ['unknown', 'unknown', 'unknown', 'closed', 'closed', 'closed'],
  idle: ['open', 'open', 'open', 'closed', 'closed', 'closed'],
  healthy: ['open', 'open', 'open', 'closed', 'closed', 'closed'],
  careful: ['closed', 'open', 'open', 'closed', 'closed', 'closed'],
  low: ['closed', 'closed', 'open', 'closed', 'closed', 'closed'],
  spent: ['closed', 'closed', 'open', 'closed', 'closed', 'closed'],
  burning: ['closed', 'closed', 'open', 'closed', 'closed', 'closed'],
  'spent and burning': ['closed', 'closed', 'open', 'closed', 'closed', 'closed'],
};
type Expected = 'open' | 'closed' | 'unknown';
const CHANGES: readonly Change[] = ['ordinary', 'small', 'repair'];

describe('gate', () => {
  let policy: Policy;
  before(async () => {
    const sound = await compiled({ nowSeconds: null, quiet: true });
    assert.ok(sound !== undefined);
    policy = sound.policy;
  });
  const verdict = (name: Case, change: Change, isFirst: boolean, override: Override | null): Verdict =>
    gateVerdict({ evidence: EVIDENCE[name], change, isFirst, override }, policy);

  for (const [name, expected] of Object.entries(TABLE) as [Case, readonly Expected[]][]) {
    it(`answers ${name} as the table says, with a reason, and fails closed`, () => {
      for (const [column, kind] of expected.entries()) {
        const change = CHANGES[column % 3] ?? 'ordinary';
        const isFirst = column >= 3;
        const said = verdict(name, change, isFirst, null);
        assert.equal(said.kind, kind, `${change}${isFirst ? ', first' : ''}: ${said.reasons.join('; ')}`);
        if (said.kind !== 'open') assert.ok(said.reasons.length > 0);
        // In writing, whatever was not open goes on; what was open needs nobody.
        const written = verdict(name, change, isFirst, REASON).kind;
        assert.equal(written, kind === 'open' ? 'open' : 'overridden');
        // Not in writing, nothing changes.
        assert.equal(verdict(name, change, isFirst, { ...REASON, reason: 'because' }).kind, kind);
        assert.equal(verdict(name, change, isFirst, { ...REASON, author: ' ' }).kind, kind);
      }
    });
  }

  it('lets a first deployment through while too little was measured, and not while it burns', () => {
    const young = { ...HEALTHY, coverage: 0.01, budgetLeft: null };
    const ask = (standing: Standing): Verdict =>
      gateVerdict(
        { evidence: { kind: 'standings', standings: [standing] }, change: 'ordinary', isFirst: true, override: null },
        policy,
      );
    assert.equal(ask(young).kind, 'open');
    assert.equal(ask({ ...young, burn: 20 }).kind, 'closed');
  });

  it('says which objective, how much is left, what may go and who decides', () => {
    assert.deepEqual(verdict('careful', 'ordinary', false, null).reasons, [
      'other: 40 % of the budget is left (careful): only small changes and repairs. the author and one more of the owning team decides; it ends when more than half is left, or a quarter is not',
    ]);
    assert.match(
      verdict('burning', 'ordinary', false, null).reasons.join(),
      /other: the budget burned 9 times too fast .* \(at most 6\)/,
    );
    assert.match(
      verdict('half covered', 'ordinary', false, null).reasons.join(),
      /other: rules ran in 50 % of the period, less than 90 %/,
    );
  });

  it('ends with 0 only when a deployment may go on', () => {
    assert.deepEqual(EXIT_CODES, { open: 0, overridden: 0, closed: 2, unknown: 1 });
  });
});
