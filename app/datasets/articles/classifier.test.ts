import assert from 'node:assert/strict';
import characters from './characters.json' with { type: 'json' };
import { normalizeText } from './characters.ts';
import { classifySaga } from './classifier.ts';
import { contract } from './contract.ts';
import heldOut from './held-out.json' with { type: 'json' };
import { SAGAS } from './sagas.ts';
import texts from './texts.json' with { type: 'json' };

const ACCURACY_MIN = 0.9;

describe('classifySaga', () => {
  it('learns from at least 40 different texts for each of four sagas', () => {
    assert.equal(SAGAS.length, 4);
    for (const saga of SAGAS) assert.ok(new Set(texts[saga]).size >= 40, saga);
  });

  it('is right for at least 90 % of texts that it never saw and that name nobody', () => {
    const cases = SAGAS.flatMap((saga) => heldOut[saga].map((text) => ({ saga, text })));
    assert.ok(cases.length >= 40);
    const wrong = cases.filter(({ saga, text }) => classifySaga(text) !== saga);
    assert.ok(1 - wrong.length / cases.length >= ACCURACY_MIN, JSON.stringify(wrong));
  });

  it('is judged on texts without any word of a name from the list', () => {
    const words = new Set(
      characters
        .flatMap(({ name, aliases = [] }) => [name, ...aliases])
        .flatMap((name) => normalizeText(name).split(' ')),
    );
    // Words of names that are words of the language as well.
    for (const plain of ['the', 'Black', 'Lady', 'Princess', 'Professor', 'Doctor', 'Duke', 'Baron', 'Lord', 'Mr.'])
      words.delete(plain);
    for (const saga of SAGAS) {
      for (const text of heldOut[saga]) {
        assert.deepEqual(
          text.split(/[^\p{L}'-]+/u).filter((word) => words.has(word)),
          [],
          text,
        );
        assert.ok(!texts[saga].includes(text), text);
      }
    }
  });

  it('has no opinion on an empty text or one without a known word', () => {
    for (const text of ['', '  \n', '…', '猫は好きですか', 'zzz qqq'])
      assert.equal(classifySaga(text), undefined, text);
  });

  it('gives the same text the same saga, in any case and composition', () => {
    const [text = ''] = heldOut.dune;
    assert.equal(classifySaga(text.toUpperCase().normalize('NFD')), classifySaga(text));
  });
});

describe('the derived fields of an article', () => {
  const derive = (row: Parameters<NonNullable<typeof contract.derived>['derive']>[0]) => contract.derived?.derive(row);

  it('are saga and named characters', () => {
    assert.deepEqual(derive({ text: 'Paul and Chani crossed the desert for the spice; Paul rode the sandworm.' }), {
      saga: 'dune',
      entities: [
        { name: 'Paul Atreides', count: 2 },
        { name: 'Chani', count: 1 },
      ],
    });
  });

  it('are null and empty for a text that is empty, null or absent', () => {
    for (const row of [{ text: '' }, { text: null }, {}]) assert.deepEqual(derive(row), { saga: null, entities: [] });
  });

  it('are exactly those that the contract describes', () => {
    assert.deepEqual(Object.keys(derive({ text: 'x' }) ?? {}), Object.keys(contract.derived?.fields ?? {}));
  });
});
