import assert from 'node:assert/strict';
import fc from 'fast-check';
import list from './characters.json' with { type: 'json' };
import { type Character, normalizeText, spellingsOf } from './characters.ts';
import { countEntities, entityCounter } from './entities.ts';
import { SAGAS } from './sagas.ts';

const LIST = list as readonly Character[];
const WORD_CHARACTER = /[\p{L}\p{N}\p{M}_]/u;

const letters = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const lettersOf = (text: string): readonly string[] => [...letters.segment(text)].map(({ segment }) => segment);

/** At each letter (as readers see them: grapheme clusters) the longest spelling that is a whole word there. */
function slowCount(text: string, spellings: ReadonlyMap<string, string>): ReadonlyMap<string, number> {
  const clean = lettersOf(normalizeText(text));
  const known = [...spellings].map(([spelling, name]) => ({ name, parts: lettersOf(spelling) }));
  known.sort((left, right) => right.parts.length - left.parts.length);
  const counts = new Map<string, number>();
  for (let at = 0; at < clean.length; ) {
    const found = known.find(
      ({ parts }) =>
        parts.every((part, index) => clean[at + index] === part) &&
        !WORD_CHARACTER.test(clean[at - 1] ?? ' ') &&
        !WORD_CHARACTER.test(clean[at + parts.length] ?? ' '),
    );
    if (found !== undefined) counts.set(found.name, (counts.get(found.name) ?? 0) + 1);
    at += found?.parts.length ?? 1;
  }
  return counts;
}

const counted = (text: string, saga: Parameters<typeof countEntities>[1]) =>
  Object.fromEntries(countEntities(text, saga).map(({ name, count }) => [name, count]));

describe('countEntities', () => {
  it('finds no Sam in "Sam Gamgee"', () => {
    const counter = entityCounter(
      new Map([
        ['Sam', 'Sam'],
        ['Sam Gamgee', 'Sam Gamgee'],
      ]),
    );
    assert.deepEqual(counter('Sam Gamgee'), [{ name: 'Sam Gamgee', count: 1 }]);
    assert.deepEqual(counter('Sam Gamgee, and Sam.'), [
      { name: 'Sam', count: 1 },
      { name: 'Sam Gamgee', count: 1 },
    ]);
  });

  it('counts a bare first name as the one character of the saga who bears it', () => {
    assert.deepEqual(counted('Sam met Frodo Baggins. Frodo thanked Sam Gamgee.', 'lord_of_the_rings'), {
      'Sam Gamgee': 2,
      'Frodo Baggins': 2,
    });
    assert.deepEqual(counted('Neville laughed.', 'harry_potter'), { 'Neville Longbottom': 1 });
  });

  it('decides for nobody when two characters bear a first name', () => {
    assert.deepEqual(counted('Albus and Leto', 'harry_potter'), { Albus: 1 });
    assert.deepEqual(counted('Leto, Leto II and Leto Atreides', 'dune'), { Leto: 1, 'Leto II': 1, 'Leto Atreides': 1 });
    assert.deepEqual(counted('Ben', 'star_wars'), { Ben: 1 });
  });

  it('takes bare first names only in their own saga, full names in every one', () => {
    assert.deepEqual(counted('Sam and Sam Gamgee and Jessica', 'dune'), { 'Lady Jessica': 1, 'Sam Gamgee': 1 });
    assert.deepEqual(counted('Sam and Sam Gamgee and Jessica', undefined), { 'Sam Gamgee': 1 });
  });

  it('takes no title for a first name', () => {
    assert.deepEqual(counted('Darth Maul met a Lady and a Darth', 'star_wars'), { 'Darth Maul': 1 });
  });

  it('matches whole words of any script only', () => {
    assert.deepEqual(counted('Samira, Samé, Sam2, Sam_x, xSam and Sam\u0301', 'lord_of_the_rings'), {});
    assert.deepEqual(counted('(Sam) Sam’s “Sam” Sam-like', 'lord_of_the_rings'), { 'Sam Gamgee': 4 });
  });

  it('matches aliases, decomposed letters, broken lines and curly apostrophes', () => {
    assert.deepEqual(counted('Gandalf the Grey and Gandalf', 'lord_of_the_rings'), { Gandalf: 2 });
    assert.deepEqual(counted('E\u0301owyn', 'lord_of_the_rings'), { Éowyn: 1 });
    assert.deepEqual(counted('Han\n   Solo', 'star_wars'), { 'Han Solo': 1 });
    assert.deepEqual(counted('Muad’Dib', 'dune'), { 'Paul Atreides': 1 });
  });

  it('lists the most named first and equals by name', () => {
    assert.deepEqual(countEntities('Yoda, Rey, Finn, Rey', 'star_wars'), [
      { name: 'Rey', count: 2 },
      { name: 'Finn', count: 1 },
      { name: 'Yoda', count: 1 },
    ]);
  });

  it('equals a slow reference on any mixture of names and scraps', () => {
    const words = fc.constantFrom('A', 'B', 'A B', 'A B C', 'B C', 'C', 'Aé', 'Ä');
    const spellings = fc
      .array(words, { minLength: 1, maxLength: 6 })
      .map((all) => new Map(all.map((word) => [word, `name of ${word}`])));
    const scrap = fc.oneof(
      words,
      fc.constantFrom(' ', ' ', ' ', '.', '-', '’', 'é', '\u0301', '_', '1', '\n', '猫', '😀'),
    );
    fc.assert(
      fc.property(spellings, fc.array(scrap, { maxLength: 25 }), (known, scraps) => {
        const text = scraps.join('');
        const fast = new Map(entityCounter(known)(text).map(({ name, count }) => [name, count]));
        assert.deepEqual(new Map([...fast].sort()), new Map([...slowCount(text, known)].sort()), text);
      }),
      { numRuns: 500 },
    );
  });

  it('equals a slow reference on the real list', () => {
    const pieces = fc.array(
      fc.oneof(fc.constantFrom(...LIST.map((one) => one.name)), fc.constantFrom(' ', ' and ', ', ', 's ', 'x')),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...SAGAS), pieces, (saga, parts) => {
        const text = parts.join('');
        assert.deepEqual(counted(text, saga), Object.fromEntries(slowCount(text, spellingsOf(LIST, saga))));
      }),
      { numRuns: 60 },
    );
  });
});

describe('the list of characters', () => {
  const cleaned = (names: readonly Character[]) => spellingsOf(names, 'dune');

  it('holds duplicates and bare first names, which are cleaned', () => {
    const keys = LIST.map(({ saga, name }) => `${saga} ${name}`);
    assert.ok(new Set(keys).size < keys.length);
    assert.ok(
      LIST.some(({ saga, name }) => LIST.some((other) => other.saga === saga && other.name.startsWith(`${name} `))),
    );
    const twice: readonly Character[] = [
      { saga: 'dune', name: 'Paul  Atreides' },
      { saga: 'dune', name: 'Paul' },
      { saga: 'dune', name: 'Paul Atreides', aliases: ['Usul X'] },
    ];
    assert.deepEqual(Object.fromEntries(cleaned(twice)), {
      Paul: 'Paul Atreides',
      'Paul Atreides': 'Paul Atreides',
      Usul: 'Paul Atreides',
      'Usul X': 'Paul Atreides',
    });
  });

  it('gives no alias to two characters and no name to two sagas', () => {
    const aliases = LIST.flatMap(({ aliases = [] }) => aliases);
    assert.equal(new Set(aliases).size, aliases.length);
    for (const { saga, name } of LIST)
      assert.ok(
        LIST.every((other) => other.name !== name || other.saga === saga),
        name,
      );
  });
});
