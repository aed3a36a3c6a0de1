import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { ERRORS } from '../errors.ts';
import { MESSAGE_ERRORS, METRICS, type MetricDefinition, OVERFLOW, STATUSES } from './catalogue.ts';
import { withTables } from './generate.ts';

const README = new URL('README.md', import.meta.url);
const DEFINITIONS: readonly MetricDefinition[] = Object.values(METRICS);

describe('the catalogue', () => {
  it('is what the README says', async () => {
    const readme = await readFile(README, 'utf8');
    assert.equal(readme, withTables(readme));
  });
  it('refuses to fill a README without markers', () => {
    assert.throws(() => withTables('# Telemetry'), /lacks the markers/);
  });
  it('names nothing twice', () => {
    const names = DEFINITIONS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
  });
  it('gives every metric a family of its own: OpenMetrics calls a counter without its _total', () => {
    const families = DEFINITIONS.map(familyOf);
    assert.deepEqual(
      families.filter((family, at) => families.indexOf(family) !== at),
      [],
    );
    const series = DEFINITIONS.flatMap(({ name, kind }) => [
      name,
      ...(kind === 'histogram' ? ['_bucket', '_sum', '_count', '_created'].map((suffix) => `${name}${suffix}`) : []),
      ...(kind === 'counter' ? [`${name.replace(/_total$/, '')}_created`] : []),
    ]);
    assert.deepEqual(
      series.filter((one, at) => series.indexOf(one) !== at),
      [],
    );
  });
  it('knows every status that an error is answered with', () => {
    for (const { status } of Object.values(ERRORS))
      assert.ok((STATUSES as readonly string[]).includes(String(status)), String(status));
  });
  it('names only real codes as message errors', () => {
    for (const code of MESSAGE_ERRORS) assert.ok(code === '' || code === OVERFLOW || code in ERRORS, code);
  });
  it('has ascending bounds in every histogram and in nothing else', () => {
    for (const { kind, buckets, name } of DEFINITIONS) {
      assert.equal(buckets !== undefined, kind === 'histogram', name);
      assert.deepEqual(
        buckets,
        buckets?.toSorted((one, other) => one - other),
        name,
      );
    }
  });
  it('gives every label a closed set, or a set that is known at start', () => {
    for (const { labels, name } of DEFINITIONS) {
      for (const values of Object.values(labels)) assert.ok(values.length > 0, name);
    }
  });
});

function familyOf({ name, kind }: MetricDefinition): string {
  return kind === 'counter' ? name.replace(/_total$/, '') : name;
}
