/** `report`: a calendar month of every objective, as Markdown. */
import { parseArgs } from 'node:util';
import { compiled } from '../compiled.ts';
import { monthOf, monthReport, reportText } from '../history/report.ts';
import { PrometheusError } from '../prometheus-client.ts';
import type { Verb } from './verb.ts';

const WRONG_USAGE = 64;

export const verb: Verb = {
  usage: 'report --prometheus URL --month YYYY-MM [--objective NAME]…  budget, what spent it, pages, exclusions',
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: {
        prometheus: { type: 'string' },
        month: { type: 'string' },
        objective: { type: 'string', multiple: true },
      },
    });
    const { objective: wanted, prometheus: url } = values;
    const month = monthOf(values.month ?? '', Math.floor(Date.now() / 1000));
    if (url === undefined || month === undefined) {
      console.error(`Usage: npm run slo -- ${verb.usage}`);
      return WRONG_USAGE;
    }
    const sound = await compiled({ nowSeconds: null, quiet: true });
    if (sound === undefined) return 1;
    try {
      for (const objective of sound.model.objectives) {
        if (wanted !== undefined && !wanted.includes(objective.name)) continue;
        console.log(reportText(await monthReport({ url, objective, month }), sound.policy));
      }
      return 0;
    } catch (error) {
      if (!(error instanceof PrometheusError)) throw error;
      console.error(`slo: ${error.message}`);
      return 1;
    }
  },
};
