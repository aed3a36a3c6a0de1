import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFleet } from './fleet.ts';
import { problemText } from './problems.ts';

const CLASSES = `
owner: platform
classes:
  critical:
    availability: { target: 0.999 }
    latency: { target: 0.99, withinSeconds: 0.3 }
`;
const read = (text: string) => readFleet({ file: 'slo/fleet.yaml', text: CLASSES + text });
const refusals = (text: string): readonly string[] => read(text).problems.map(problemText);

describe('slo/fleet.yaml', () => {
  it('gives a service the targets of its class, exactly', () => {
    const { fleet } = read(
      'services:\n  - { name: shop, owner: payments, class: critical, objectives: [latency, availability] }',
    );
    assert.deepEqual(fleet?.services, [
      {
        name: 'shop',
        owner: 'payments',
        class: 'critical',
        objectives: [
          { name: 'availability', budget: { units: 1n, scale: 3 } },
          { name: 'latency', budget: { units: 1n, scale: 2 }, thresholdSeconds: { units: 3n, scale: 1 } },
        ],
      },
    ]);
  });

  it('lists a service whose objectives are files of their own, without rows', () => {
    const { fleet } = read('services: [{ name: vigia, owner: data, class: critical, objectives: own }]');
    assert.deepEqual(
      fleet?.services.map(({ name, objectives }) => [name, objectives]),
      [['vigia', []]],
    );
  });

  it('names every mistake with its line and what to do', () => {
    const text = `services:
  - { name: shop, owner: payments, class: golden, objectives: [availability] }
  - { name: shop, owner: payments, class: critical, objectives: [availability] }`;
    assert.deepEqual(refusals(text), [
      'slo/fleet.yaml:8: golden is not a class. Use one of: critical. [REFERENCE_UNKNOWN]',
      'slo/fleet.yaml:9: shop is listed twice. Keep one entry. [NAME_REPEATED]',
    ]);
    assert.match(
      refusals('services: [{ name: a, owner: b, class: critical, objectves: own }]').join('\n'),
      /KEY_UNKNOWN/,
    );
    assert.match(
      refusals('services: [{ name: A, owner: b, class: critical, objectives: own }]').join('\n'),
      /lower-case/,
    );
  });

  it('refuses a target that leaves no budget and a bound that is no bucket, naming the buckets', () => {
    const text = CLASSES.replace('0.999', '1').replace('0.3 ', '0.31 ');
    const { fleet, problems } = readFleet({ file: 'slo/fleet.yaml', text: `${text}services: []` });
    assert.equal(fleet, undefined);
    assert.deepEqual(
      problems.map(({ code, place }) => [code, place.line]),
      [
        ['TARGET_REFUSED', 5],
        ['BUCKET_UNKNOWN', 6],
      ],
    );
    assert.match(problems[1]?.message ?? '', /0\.25, 0\.3, 0\.5/);
  });

  it('is sound as it is shipped', async () => {
    const text = await readFile(join(import.meta.dirname, '..', 'fleet.yaml'), 'utf8');
    assert.deepEqual(readFleet({ file: 'slo/fleet.yaml', text }).problems, []);
  });
});
