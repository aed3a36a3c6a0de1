import assert from 'node:assert/strict';
import { readYaml, WrittenNumber } from './yaml-source.ts';

const FILE = 'slo/x.yaml';

describe('YAML with places', () => {
  it('keeps numbers as they were written, and quoted ones as text', () => {
    const { documents } = readYaml({ file: FILE, text: 'a: 0.9990\nb: "0.999"\nc: [1e3, 0x10, .inf, 5m, true]\n' });
    const written = (text: string): WrittenNumber => new WrittenNumber(text);
    assert.deepEqual(documents[0]?.value, {
      a: written('0.9990'),
      b: '0.999',
      c: [written('1e3'), written('0x10'), written('.inf'), '5m', true],
    });
  });

  it('knows the line of every value, of a key, and of the parent of what is missing', () => {
    const text = 'x: 1\n---\n# a remark\na:\n  b:\n    - 1\n    - c: 2\n  d: 3\n';
    const [, document] = readYaml({ file: FILE, text }).documents;
    assert.equal(document?.place(['a', 'b', 1, 'c']).line, 7);
    assert.equal(document?.keyPlace(['a'], 'd').line, 8);
    assert.equal(document?.place(['a', 'b', 1, 'nothing', 'below']).line, 7);
    assert.deepEqual(document?.place([]), { file: FILE, line: 4 });
  });

  it('refuses keys that stand twice, at their line', () => {
    const { documents, problems } = readYaml({ file: FILE, text: 'a: 1\nb: 2\na: 3\n' });
    assert.deepEqual(documents, []);
    assert.deepEqual(
      problems.map(({ code, place }) => [code, place.line]),
      [['YAML_UNREADABLE', 3]],
    );
  });

  it('reads as many documents as there are, and none from remarks alone', () => {
    assert.equal(readYaml({ file: FILE, text: 'a: 1\n---\nb: 2\n---\n# end\n' }).documents.length, 2);
    assert.equal(readYaml({ file: FILE, text: '# nothing\n' }).documents.length, 0);
  });
});
