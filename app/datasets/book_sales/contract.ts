/** Sales of books in seven countries: money, kept and summed as exact decimals. */
import type { Contract } from '../contract.ts';

export const COUNTRIES = ['AR', 'CL', 'CO', 'ES', 'MX', 'PE', 'UY'] as const;

export const contract: Contract = {
  name: 'book_sales',
  version: 1,
  title: 'Book sales by country',
  description: 'One sale of a title to a bookshop or a library, in euros.',
  fields: {
    id: {
      type: 'string',
      description: 'Number of the sale, given by the shop.',
      example: 'BS-000001',
      pattern: '^BS-[0-9]{6,12}$',
      lengthMax: 15,
    },
    country: {
      type: 'string',
      description: 'ISO 3166 code of the country of the sale.',
      example: 'AR',
      values: COUNTRIES,
    },
    amount: {
      type: 'decimal',
      description: 'What was paid, in euros.',
      unit: 'EUR',
      example: '656.56',
      precision: 12,
      scale: 2,
      min: '0.01',
      max: '1000000.00',
    },
    sold_at: { type: 'timestamp', description: 'When it was paid.', example: '2024-03-09T15:04:05Z' },
    title: { type: 'string', description: 'Title of the book.', example: 'The Salt Road', lengthMax: 300 },
    isbn: {
      type: 'string',
      description: 'ISBN-13 without hyphens.',
      example: '9780306406157',
      pattern: '^97[89][0-9]{10}$',
      lengthMin: 13,
      lengthMax: 13,
    },
    copies: { type: 'integer', description: 'Copies sold.', unit: 'copies', example: 40, min: 1, max: 100_000 },
    buyer_email: {
      type: 'string',
      description: 'Where the invoice went.',
      example: 'orders@bookshop.example',
      pattern: '^[^@ ]+@[^@ ]+$',
      lengthMax: 254,
      personal: true,
      optional: true,
    },
  },
  identity: { kind: 'key', fields: ['id'] },
  eventDate: 'sold_at',
  freshnessSeconds: 60,
  retentionDays: { bronze: 3650, silver: 3650, quarantine: 90, deadLetters: 90, archive: 365 },
  gold: {
    sales_by_country_month: {
      kind: 'aggregate',
      description: 'Sales and turnover by country and month.',
      measures: ['count', 'sum:amount', 'avg:amount', 'sum:copies'],
      by: ['country'],
      bucket: 'sold_at:month',
    },
  },
  sample: {
    file: 'sample.ndjson',
    source: 'Made by book_sales/generate-sample.ts from a fixed seed; titles, buyers and sales are invented.',
    license: 'Apache-2.0',
  },
};
