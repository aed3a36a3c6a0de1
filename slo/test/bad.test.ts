import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CompileInput, compile } from '../compiler/compile.ts';
import { PROBLEM_CODES, type Problem, problemText } from '../compiler/problems.ts';
import type { SourceFile } from '../compiler/read-objects.ts';
import { loadSlo, SLO_PLACES } from '../load.ts';

const FOLDER = join(import.meta.dirname, 'bad');
const EXPECTED = '# expected: ';
/** 2026-02-01, a month after the exclusions that the files hold. */
const NOW_SECONDS = 1_769_904_000;

/** The file's name says what it replaces: `x.exclusions.yaml` the exclusions, `x.yaml` comes as one more objective. */
const ROLES = ['exclusions', 'environment', 'policy'] as const;

describe('a specification that is wrong', () => {
  const names = readdirSync(FOLDER).sort();
  let good: CompileInput;
  before(async () => {
    good = await loadSlo(SLO_PLACES, NOW_SECONDS);
  });

  it('is none of those in the repository', () => {
    const result = compile(good);
    assert.equal(result.kind, 'compiled', result.kind === 'refused' ? result.problems.map(problemText).join('\n') : '');
  });

  for (const name of names) {
    it(`has one problem, told exactly: ${name}`, () => {
      const file = join(FOLDER, name);
      const text = readFileSync(file, 'utf8');
      const found = problemsIn(good, { name, text }).map(problemText);
      if (process.argv.includes('--update-expected')) {
        writeFileSync(file, `${EXPECTED}${found.join(' AND ')}\n${text.split('\n').slice(1).join('\n')}`);
      } else assert.deepEqual(found, [text.split('\n')[0]?.slice(EXPECTED.length)]);
    });
  }

  it('exists for every code, and for no code that there is not', () => {
    const codes = names.map(
      (name) => /\[([A-Z_]+)\]$/.exec(readFileSync(join(FOLDER, name), 'utf8').split('\n')[0] ?? '')?.[1],
    );
    assert.deepEqual([...new Set(codes)].sort(), Object.keys(PROBLEM_CODES).sort());
  });

  it('is told whole: several problems come at once, by file and line', () => {
    const objectives = ['label-unknown', 'metric-kind'].map((name) => sourceOf(name));
    const result = compile({
      ...good,
      objectives: [...good.objectives, ...objectives],
      runbooks: runbooksWith(good, objectives),
    });
    assert.ok(result.kind === 'refused');
    const places = result.problems
      .filter(({ place }) => objectives.some(({ file }) => file === place.file))
      .map(({ code }) => code);
    assert.deepEqual(places, ['LABEL_UNKNOWN', 'METRIC_KIND']);
  });
});

/** Those that compiling the repository with this file beside or instead finds in this file. */
function problemsIn(
  good: CompileInput,
  { name, text }: { readonly name: string; readonly text: string },
): readonly Problem[] {
  const [stem = '', role] = name.split('.');
  const replaced = ROLES.find((known) => known === role);
  const source: SourceFile = {
    file: replaced === undefined ? `slo/objectives/${stem}.yaml` : `slo/${replaced}.yaml`,
    text,
  };
  const input =
    replaced === undefined
      ? {
          ...good,
          objectives: [...good.objectives, source],
          runbooks: stem === 'runbook-missing' ? good.runbooks : runbooksWith(good, [source]),
        }
      : { ...good, [replaced]: source };
  const result = compile(input);
  const all = result.kind === 'compiled' ? result.warnings : result.problems;
  return all.filter(({ place }) => place.file === source.file);
}

function sourceOf(stem: string): SourceFile {
  return { file: `slo/objectives/${stem}.yaml`, text: readFileSync(join(FOLDER, `${stem}.yaml`), 'utf8') };
}

function runbooksWith(good: CompileInput, sources: readonly SourceFile[]): ReadonlySet<string> {
  return new Set([...good.runbooks, ...sources.map(({ file }) => file.replace(/\.yaml$/, '.runbook.md'))]);
}
