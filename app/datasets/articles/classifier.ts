/**
 * Names the saga of a text: naive Bayes over words, learned from `texts.json` (original prose, 42 texts a saga).
 *
 * Learned on first use and kept: about 10 ms, paid by no process that never sees an article. The same text always
 * gets the same saga, which a rebuild from bronze relies on; other texts to learn from mean a new contract version.
 */
import naiveBayes from 'wink-naive-bayes-text-classifier';
import { SAGAS, type Saga } from './sagas.ts';
import texts from './texts.json' with { type: 'json' };

/** Words that every saga uses; one and two letters are left out as well. */
const STOP_WORDS = new Set(
  'the and for that was with his her its had not but they them their from into were who what when where which could would than then there this have has are she him out over one all more never ever every before after while because without'.split(
    ' ',
  ),
);
const WORD_LENGTH_MIN = 3;

type Classifier = (text: string) => Saga | undefined;

let learned: Classifier | undefined;

/** Undefined when nothing in the text was ever learned: an empty text, or one in another script. */
export function classifySaga(text: string): Saga | undefined {
  learned ??= learn();
  return learned(text);
}

function learn(): Classifier {
  const model = naiveBayes();
  model.definePrepTasks([]);
  for (const saga of SAGAS) for (const text of texts[saga]) model.learn(wordsOf(text), saga);
  model.consolidate();
  return (text) => {
    const label = model.predict(wordsOf(text));
    return SAGAS.find((saga) => saga === label);
  };
}

function wordsOf(text: string): readonly string[] {
  const words =
    text
      .normalize('NFC')
      .toLowerCase()
      .match(/\p{L}+/gu) ?? [];
  return words.filter((word) => word.length >= WORD_LENGTH_MIN && !STOP_WORDS.has(word)).map(stem);
}

/** Plurals count as their singular; anything cleverer did not classify better. */
function stem(word: string): string {
  return word.length > 4 && word.endsWith('s') && !word.endsWith('ss') ? word.slice(0, -1) : word;
}
