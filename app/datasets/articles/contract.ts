/**
 * A stream of texts, each classified into a saga, its named characters counted.
 *
 * An empty text cannot be classified: its saga is null, and it is kept and answered apart with its readers.
 */
import type { Contract, Row } from '../contract.ts';
import { classifySaga } from './classifier.ts';
import { countEntities } from './entities.ts';
import { SAGAS } from './sagas.ts';

export const contract: Contract = {
  name: 'articles',
  version: 1,
  title: 'Articles and their readers',
  description: 'One published text with the number of its readers.',
  fields: {
    article_id: {
      type: 'string',
      description: 'Number of the article, given by the publisher.',
      example: 'A-00001',
      pattern: '^[A-Za-z0-9][A-Za-z0-9_-]*$',
      lengthMax: 64,
    },
    text: {
      type: 'string',
      description: 'The text; it may be empty or absent.',
      example: 'Frodo Baggins carried the ring out of the Shire.',
      lengthMin: 0,
      // Classified on the thread that stores: at 100,000 characters that takes some 100 ms.
      lengthMax: 100_000,
      optional: true,
    },
    readers: {
      type: 'integer',
      description: 'People who read it.',
      unit: 'people',
      example: 1280,
      min: 0,
      max: 10_000_000_000,
    },
    published_at: { type: 'timestamp', description: 'When it was published.', example: '2024-05-04T08:30:00Z' },
  },
  derived: {
    fields: {
      saga: {
        type: 'string',
        description: 'What the text is about; null for a text that cannot be classified.',
        example: 'dune',
        values: SAGAS,
        optional: true,
      },
      entities: {
        type: 'counts',
        description: 'Named characters and how often each is named.',
        example: '[{"name":"Frodo Baggins","count":1}]',
      },
    },
    derive: classify,
  },
  identity: { kind: 'key', fields: ['article_id'] },
  eventDate: 'published_at',
  freshnessSeconds: 60,
  unclassified: { field: 'saga', sum: 'readers' },
  retentionDays: { bronze: 3650, silver: 3650, quarantine: 90, deadLetters: 90, archive: 365 },
  gold: {
    fact_readers: {
      kind: 'fact',
      description:
        'One row for each character named in an article. readers is the whole article’s: add it up by entity only.',
      list: 'entities',
      nameColumn: 'entity',
      countColumn: 'entity_count',
      columns: ['article_id', 'saga', 'readers', 'published_at'],
    },
    dim_saga: { kind: 'dimension', description: 'Every saga that has an article.', field: 'saga', column: 'saga' },
    dim_entity: {
      kind: 'dimension',
      description: 'Every character named anywhere.',
      field: 'entities',
      column: 'entity',
    },
    readers_by_saga: {
      kind: 'aggregate',
      description: 'Articles and readers by saga, each article once: the groups add up.',
      measures: ['count', 'sum:readers'],
      by: ['saga'],
    },
  },
  sample: {
    file: 'sample.ndjson',
    source: 'Made by articles/generate-sample.ts from a fixed seed and the original prose in texts.json.',
    license: 'Apache-2.0',
  },
};

function classify(row: Row): Row {
  const text = typeof row['text'] === 'string' ? row['text'] : '';
  const saga = classifySaga(text);
  return { saga: saga ?? null, entities: countEntities(text, saga) };
}
