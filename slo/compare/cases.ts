/** What both sets of rules are asked: traffic in, one number out. */
import type { Span } from '../compiler/emit/promtool/feed.ts';
import type { Contestant } from './contestants.ts';

export interface Case {
  /** The question, as a row of the table. */
  readonly name: string;
  readonly scrapeSeconds: number;
  readonly evaluationSeconds: number;
  readonly spans: readonly Span[];
  readonly withoutBadSeries?: boolean;
  readonly query: (contestant: Contestant) => string;
  readonly atSeconds: number;
  /** What is right, for people. */
  readonly truth: string;
  readonly text: (value: number | null) => string;
}

const HOUR = 3600;
const MINUTE = 60;

function percent(value: number | null): string {
  return value === null ? 'nothing' : Number.isNaN(value) ? 'NaN' : `${Number((100 * value).toPrecision(3))} %`;
}

function times(value: number | null): string {
  return value === null ? 'silent' : `fires ${value} min`;
}

function firing(matchers: string, range: string): string {
  return `max(count_over_time(ALERTS{alertstate="firing",${matchers}}[${range}]))`;
}

export const CASES: readonly Case[] = [
  {
    name: 'error ratio of the period: 23 h at 60 events/min without errors, 1 h at 6,000 with 2 %',
    scrapeSeconds: 60,
    evaluationSeconds: 300,
    spans: [
      { seconds: 23 * HOUR, events: 60, bad: 0 },
      { seconds: HOUR, events: 6000, bad: 120 },
    ],
    query: ({ ratio30d }) => ratio30d,
    atSeconds: 24 * HOUR,
    truth: percent((60 * 120) / (23 * 60 * 60 + 60 * 6000)),
    text: percent,
  },
  {
    name: 'error ratio of the period after 15 quiet minutes, at 0.1 % before and after',
    scrapeSeconds: 60,
    evaluationSeconds: 300,
    spans: [
      { seconds: 2 * HOUR, events: 1000, bad: 1 },
      { seconds: 15 * MINUTE, events: 0, bad: 0 },
      { seconds: HOUR, events: 1000, bad: 1 },
    ],
    query: ({ ratio30d }) => ratio30d,
    atSeconds: 3 * HOUR + 15 * MINUTE,
    truth: percent(0.001),
    text: percent,
  },
  {
    name: 'error ratio of a service that never failed (no error series yet)',
    scrapeSeconds: 60,
    evaluationSeconds: 60,
    spans: [{ seconds: HOUR, events: 1000, bad: 0 }],
    withoutBadSeries: true,
    query: ({ ratio5m }) => ratio5m,
    atSeconds: HOUR,
    truth: percent(0),
    text: percent,
  },
  {
    name: 'page for one failed request in 12 h, at 1 request/min',
    scrapeSeconds: 60,
    evaluationSeconds: 60,
    spans: [
      { seconds: 12 * HOUR, events: 1, bad: 0 },
      { seconds: MINUTE, events: 1, bad: 1 },
      { seconds: HOUR, events: 1, bad: 0 },
    ],
    query: ({ pages }) => firing(pages, '2h'),
    atSeconds: 13 * HOUR + MINUTE,
    truth: 'silent',
    text: times,
  },
  {
    name: 'any alert while the target is gone for 2 h',
    scrapeSeconds: 60,
    evaluationSeconds: 60,
    spans: [
      { seconds: 2 * HOUR, events: 1000, bad: 0 },
      { seconds: 2 * HOUR, events: null, bad: 0 },
    ],
    query: ({ alerts }) => firing(alerts, '2h'),
    atSeconds: 4 * HOUR,
    truth: 'fires',
    text: times,
  },
  {
    name: 'time to page when everything fails (52 s by theory, evaluated every 15 s)',
    scrapeSeconds: 15,
    evaluationSeconds: 15,
    spans: [
      { seconds: 6 * HOUR, events: 1000, bad: 0 },
      { seconds: 5 * MINUTE, events: 1000, bad: 1000 },
    ],
    query: ({ pages }) => `min(min_over_time(timestamp(ALERTS{alertstate="firing",${pages}})[5m:15s])) - ${6 * HOUR}`,
    atSeconds: 6 * HOUR + 5 * MINUTE,
    truth: '52–82 s',
    text: (value) => (value === null ? 'silent' : `${value} s`),
  },
];
