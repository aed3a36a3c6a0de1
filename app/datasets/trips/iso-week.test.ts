import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isoWeekBounds, isoWeeksInYear } from './iso-week.ts';

const day = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);

describe('ISO weeks', () => {
  it('begin on the documented Mondays', () => {
    assert.equal(day(isoWeekBounds(2018, 21).fromMs), '2018-05-21');
    assert.equal(day(isoWeekBounds(2018, 1).fromMs), '2018-01-01');
    assert.equal(day(isoWeekBounds(2019, 1).fromMs), '2018-12-31');
    assert.equal(day(isoWeekBounds(2020, 53).toMs), '2021-01-04');
    assert.equal(day(isoWeekBounds(2021, 1).fromMs), '2021-01-04');
  });

  it('number 53 only in years that begin, or in leap years end, on a Thursday', () => {
    for (let year = 1900; year <= 2400; year += 1) {
      const thursday = (month: number, date: number) => new Date(Date.UTC(year, month, date)).getUTCDay() === 4;
      assert.equal(isoWeeksInYear(year), thursday(0, 1) || thursday(11, 31) ? 53 : 52, String(year));
    }
  });

  it('follow one another without gap or overlap, Monday to Monday', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 2999 }), fc.integer({ min: 1, max: 53 }), (year, number) => {
        const week = Math.min(number, isoWeeksInYear(year));
        const { fromMs, toMs } = isoWeekBounds(year, week);
        const next = week === isoWeeksInYear(year) ? isoWeekBounds(year + 1, 1) : isoWeekBounds(year, week + 1);
        assert.equal(new Date(fromMs).getUTCDay(), 1);
        assert.equal(next.fromMs, toMs);
      }),
    );
  });
});
