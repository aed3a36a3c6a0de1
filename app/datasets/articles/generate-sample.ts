/**
 * Makes `sample.ndjson`: 300 articles of 2024, one to three texts of one saga each, and 12 without a text. The same for
 * every run; a test compares it with the file.
 */
import { writeFile } from 'node:fs/promises';
import { type SeededRandom, seededRandom } from '../seeded-random.ts';
import { SAGAS } from './sagas.ts';
import texts from './texts.json' with { type: 'json' };

const SEED = 300;
const ARTICLES = 300;
/** Every 26th article has no text: half of them an empty one, half none at all. */
const EMPTY_EVERY = 26;
const YEAR_SECONDS = 366 * 86_400;

export function articlesSample(): string {
  const random = seededRandom(SEED);
  const total = ARTICLES + 12;
  return Array.from({ length: total }, (_, index) => `${JSON.stringify(article(index + 1, random))}\n`).join('');
}

function article(number: number, random: SeededRandom): object {
  const saga = random.pick(SAGAS);
  const parts = Array.from({ length: random.integer(1, 3) }, () => random.pick(texts[saga]));
  const at = new Date(Date.UTC(2024, 0, 1) + random.integer(0, YEAR_SECONDS - 1) * 1000);
  const rest = {
    // A cube of a fraction: many articles with few readers, few with many.
    readers: Math.floor(random.fraction() ** 3 * 40_000),
    published_at: `${at.toISOString().slice(0, 19)}Z`,
  };
  const id = { article_id: `A-${String(number).padStart(5, '0')}` };
  if (number % EMPTY_EVERY !== 0) return { ...id, text: [...new Set(parts)].join(' '), ...rest };
  return number % (2 * EMPTY_EVERY) === 0 ? { ...id, text: '', ...rest } : { ...id, ...rest };
}

if (import.meta.main) await writeFile(new URL('sample.ndjson', import.meta.url), articlesSample());
