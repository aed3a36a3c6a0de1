/**
 * Counts the named characters of a text by longest match on word boundaries: in "Sam Gamgee" there is no "Sam", in
 * "Samira" neither. Of matches that overlap the leftmost is taken, of those that begin together the longest. A letter
 * is what a reader sees (a grapheme cluster), so an accent that stands apart belongs to its letter.
 *
 * One Aho-Corasick automaton a saga, built on first use: the time for a text does not grow with the list.
 */
import AhoCorasick from 'modern-ahocorasick';
import list from './characters.json' with { type: 'json' };
import { type Character, normalizeText, spellingsOf } from './characters.ts';
import type { Saga } from './sagas.ts';

export interface EntityCount {
  readonly name: string;
  readonly count: number;
}

export type EntityCounter = (text: string) => readonly EntityCount[];

const counters = new Map<Saga | undefined, EntityCounter>();

/** Most first, then by name, so that the same text always gives the same list. */
export function countEntities(text: string, saga: Saga | undefined): readonly EntityCount[] {
  const counter = counters.get(saga) ?? entityCounter(spellingsOf(list as readonly Character[], saga));
  counters.set(saga, counter);
  return counter(text);
}

/** `spellings`: normalised spelling to the name it counts as. */
export function entityCounter(spellings: ReadonlyMap<string, string>): EntityCounter {
  const matcher = new AhoCorasick<string>(
    [...spellings].map(([pattern, data]) => ({ pattern, data })),
    { boundary: 'unicode' },
  );
  return (text) => {
    const counts = new Map<string, number>();
    for (const { pattern, data } of matcher.iterate(normalizeText(text), { strategy: 'leftmost-longest' })) {
      const name = data ?? pattern;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts]
      .map(([name, count]) => ({ name, count }))
      .sort((left, right) => right.count - left.count || (left.name < right.name ? -1 : 1));
  };
}
