import assert from 'node:assert/strict';
import { decimal } from '../compiler/decimal.ts';
import { ENVIRONMENT, ratioObjective } from '../test/objective-fixture.ts';
import { explain } from './explain.ts';

describe('explain', () => {
  const text = explain({
    objective: ratioObjective({ badEventsMin: 5 }),
    environment: ENVIRONMENT,
    eventsPerSecond: null,
  });
  const row = (start: string): string => text.split('\n').find((line) => line.startsWith(start)) ?? 'none';

  it('says of a total outage when it pages, what that costs, when it resets and when the budget is gone', () => {
    assert.match(row('100 %'), /^100 % +1000x +fast +52s to 1m37s +.* 2 % +5m41s +43m12s$/);
  });

  it('says of a slow fault that nobody is woken and who gets a ticket', () => {
    assert.match(row('0.5 %'), /^0\.5 % +5x +slow +never +14h26m to 14h27m +10\.\d+ % +.* 6d$/);
  });

  it('shows the first fault that is told to nobody', () => {
    assert.match(row('0.1 %'), /^0\.1 % +1x +nobody +30d$/);
  });

  it('says below which traffic the numbers mean little', () => {
    assert.match(text, /Lowest trustworthy rate: 13\.9\/h/);
    assert.match(row('drain'), /no rate is enough$/);
  });

  it('counts the floor where the rate is given', () => {
    const slow = explain({
      objective: ratioObjective({ badEventsMin: 5 }),
      environment: ENVIRONMENT,
      eventsPerSecond: decimal('0.02'),
    });
    assert.match(slow, /^100 % +1000x +fast +4m10s to 4m55s/m);
  });
});
