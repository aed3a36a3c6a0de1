/**
 * Turns the list of characters, with its duplicates and bare first names, into what each spelling counts as.
 *
 * A bare first name counts as the one character of the saga who bears it. When several do (Albus, Leto, Ben) it decides
 * for none of them: listed, it counts under its own name, otherwise not at all. Listed names and aliases of several
 * words are looked for in every text; bare first names and aliases of one word only in texts of their own saga, because
 * other people bear them elsewhere. Spelling is exact, capitals included: a rose is not
 * Rose.
 */
import { SAGAS, type Saga } from './sagas.ts';

export interface Character {
  readonly saga: Saga;
  readonly name: string;
  readonly aliases?: readonly string[];
}

interface Spellings {
  readonly full: ReadonlyMap<string, string>;
  readonly bare: ReadonlyMap<string, string>;
}

/** Words that begin a name without being a first name: "Darth" alone is nobody. */
const TITLES = new Set(['Baron', 'Count', 'Darth', 'Doctor', 'Duke', 'Lady', 'Lord', 'Mr.', 'Princess', 'Professor']);

/** Spelling to the name it counts as, for texts of this saga; undefined for texts of no saga. */
export function spellingsOf(list: readonly Character[], saga: Saga | undefined): ReadonlyMap<string, string> {
  const bySaga = new Map(SAGAS.map((each) => [each, readSpellings(cleaned(list.filter((one) => one.saga === each)))]));
  const own = saga === undefined ? undefined : bySaga.get(saga);
  const others = [...bySaga].filter(([each]) => each !== saga).flatMap(([, spellings]) => [...spellings.full]);
  // Later entries win: the text's own saga over others, a full name over a first name.
  return new Map([...others, ...(own?.bare ?? []), ...(own?.full ?? [])]);
}

/** One spelling for what looks the same: composed letters, single spaces, straight apostrophes. */
export function normalizeText(text: string): string {
  return text.normalize('NFC').replaceAll('’', "'").replace(/\s+/gu, ' ').trim();
}

function readSpellings(characters: readonly Required<Character>[]): Spellings {
  const bearers = firstNames(characters);
  const full = new Map<string, string>();
  const bare = new Map<string, string>();
  for (const [first, names] of bearers) {
    const [only] = names;
    if (names.size === 1 && only !== undefined) bare.set(first, only);
  }
  for (const { name, aliases } of characters) {
    const isBare = bearers.has(name) && !bearers.get(name)?.has(name);
    const countsAs = isBare ? (bare.get(name) ?? name) : name;
    (isBare ? bare : full).set(name, countsAs);
    for (const alias of aliases) (alias.includes(' ') ? full : bare).set(alias, countsAs);
  }
  return { full, bare };
}

/** One entry a name, aliases joined; the first mention keeps its place. */
function cleaned(list: readonly Character[]): readonly Required<Character>[] {
  const aliasesByName = new Map<string, Set<string>>();
  const sagaByName = new Map<string, Saga>();
  for (const { saga, name, aliases = [] } of list) {
    const key = normalizeText(name);
    const known = aliasesByName.get(key) ?? new Set();
    for (const alias of aliases) known.add(normalizeText(alias));
    aliasesByName.set(key, known);
    sagaByName.set(key, saga);
  }
  return [...sagaByName].map(([name, saga]) => ({ saga, name, aliases: [...(aliasesByName.get(name) ?? [])] }));
}

/** First name to the characters who bear it, read from names and aliases of more than one word. */
function firstNames(characters: readonly Required<Character>[]): ReadonlyMap<string, ReadonlySet<string>> {
  const bearers = new Map<string, Set<string>>();
  for (const { name, aliases } of characters) {
    for (const spelling of [name, ...aliases]) {
      const [first = '', ...rest] = spelling.split(' ');
      if (rest.length === 0 || TITLES.has(first)) continue;
      bearers.set(first, (bearers.get(first) ?? new Set()).add(name));
    }
  }
  return bearers;
}
