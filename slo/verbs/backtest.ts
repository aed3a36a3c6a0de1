/** `backtest`: which pages today's objectives would have sent over past days, beside those that were sent. */
import { parseArgs } from 'node:util';
import { compiled } from '../compiled.ts';
import type { Objective } from '../compiler/model.ts';
import { type BacktestOptions, backtest, type Episode, pagesOf, sentEpisodes } from '../history/backtest.ts';
import { PrometheusError } from '../prometheus-client.ts';
import type { Verb } from './verb.ts';

const WRONG_USAGE = 64;
const DAY_SECONDS = 86_400;

export const verb: Verb = {
  usage:
    'backtest --prometheus URL --days N [--until TIME] [--objective NAME]… [--windows FILE] [--step SECONDS]  pages it would have sent, beside those that were sent',
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: {
        prometheus: { type: 'string' },
        days: { type: 'string' },
        until: { type: 'string' },
        objective: { type: 'string', multiple: true },
        windows: { type: 'string' },
        step: { type: 'string', default: '60' },
      },
    });
    const { objective: wanted, prometheus: url, windows } = values;
    const [days, stepSeconds] = [Number(values.days), Number(values.step)];
    const untilMs = values.until === undefined ? Date.now() : Date.parse(values.until);
    if (url === undefined || !(days > 0) || !(stepSeconds > 0) || Number.isNaN(untilMs)) {
      console.error(`Usage: npm run slo -- ${verb.usage}`);
      return WRONG_USAGE;
    }
    const sound = await compiled({ nowSeconds: null, quiet: true, ...(windows === undefined ? {} : { windows }) });
    if (sound === undefined) return 1;
    const toSeconds = Math.floor(untilMs / 1000 / stepSeconds) * stepSeconds;
    const range = { url, fromSeconds: toSeconds - days * DAY_SECONDS, toSeconds, stepSeconds };
    const objectives = sound.model.objectives.filter(({ name }) => wanted?.includes(name) ?? true);
    try {
      let [now, sent] = [0, 0];
      for (const objective of objectives) {
        const found = await pagesOfOne({ ...range, objective });
        now += found.now.length;
        sent += found.sent.length;
        for (const line of comparison(found)) console.log(line);
      }
      console.log(
        `backtest: ${days} days, ${objectives.length} objectives: ${now} pages by these rules, ${sent} were sent.`,
      );
      return 0;
    } catch (error) {
      if (!(error instanceof PrometheusError)) throw error;
      console.error(`slo: ${error.message}`);
      return 1;
    }
  },
};

interface Found {
  readonly now: readonly Episode[];
  readonly sent: readonly Episode[];
}

async function pagesOfOne(options: Omit<BacktestOptions, 'tiers'> & { readonly objective: Objective }): Promise<Found> {
  const tiers = options.objective.tiers.filter(({ severity }) => severity === 'page');
  const [now, sent] = await Promise.all([backtest({ ...options, tiers }), sentEpisodes({ ...options, tiers })]);
  return { now: pagesOf(now), sent: pagesOf(sent) };
}

/** Pages of both overlap, or one of them is news. */
function comparison({ now, sent }: Found): readonly string[] {
  const isIn = (page: Episode, others: readonly Episode[]): boolean =>
    others.some(
      (other) =>
        other.group === page.group && other.beginSeconds <= page.endSeconds && page.beginSeconds <= other.endSeconds,
    );
  return [
    ...now.map((page) => ({ page, sign: isIn(page, sent) ? '=' : '+' })),
    ...sent.filter((page) => !isIn(page, now)).map((page) => ({ page, sign: '-' })),
  ]
    .sort((a, b) => a.page.beginSeconds - b.page.beginSeconds)
    .map(({ page, sign }) => `${sign} ${pageText(page)}`);
}

function pageText({ beginSeconds, endSeconds, group, objective, tier }: Episode): string {
  const begin = new Date(beginSeconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
  const minutes = Math.round((endSeconds - beginSeconds) / 60);
  return `${begin}  ${objective}${group === null ? '' : ` (${group})`}  ${tier}  ${minutes} min`;
}
