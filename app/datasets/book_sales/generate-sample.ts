/**
 * Makes `sample.ndjson`: sales of 2021 to 2025 in seven countries, the same for every run; a test compares it with the
 * file. Argentina's mean is exactly 656.56 EUR, and Uruguay sold exactly once in 2021, so that a sample standard
 * deviation without a value can be seen.
 */
import { writeFile } from 'node:fs/promises';
import { type SeededRandom, seededRandom } from '../seeded-random.ts';

const SEED = 656_56;
const YEARS = [2021, 2022, 2023, 2024, 2025] as const;
const YEAR_SECONDS = 365 * 86_400;
/** Sales a year, and the price of a copy in cents, lowest and highest. */
const MARKETS = {
  AR: { sales: 40, cents: [900, 2600] },
  CL: { sales: 24, cents: [1100, 2900] },
  CO: { sales: 28, cents: [800, 2300] },
  ES: { sales: 60, cents: [1200, 3400] },
  MX: { sales: 52, cents: [950, 2800] },
  PE: { sales: 20, cents: [700, 2200] },
  UY: { sales: 8, cents: [1000, 3000] },
} as const;
const ARGENTINA_MEAN_CENTS = 65_656;
const TITLES = [
  'The Salt Road',
  'Letters from the Delta',
  'A Short History of Rain',
  'The Cartographer of Wells',
  'Nine Winters',
  'The Glass Orchard',
  'Bread and Iron',
  'An Atlas of Small Rivers',
  'The Clockmaker of Cusco',
  'Southbound',
  'The Library at Low Tide',
  'What the Wind Owes',
  'A Grammar of Birds',
  'The Night Train to Salta',
  'Copper and Ash',
] as const;

interface Sale {
  readonly id: string;
  readonly country: keyof typeof MARKETS;
  readonly cents: number;
  readonly sold_at: string;
  readonly title: string;
  readonly isbn: string;
  readonly copies: number;
  readonly buyer_email?: string;
}

export function bookSalesSample(): string {
  const random = seededRandom(SEED);
  const sales: Sale[] = [];
  for (const country of Object.keys(MARKETS) as (keyof typeof MARKETS)[]) {
    for (const year of YEARS) {
      const count = country === 'UY' && year === 2021 ? 1 : MARKETS[country].sales;
      for (let sale = 0; sale < count; sale += 1)
        sales.push(makeSale({ country, year, number: sales.length + 1, random }));
    }
  }
  return `${settleArgentina(sales).map(toLine).join('\n')}\n`;
}

function makeSale(options: {
  readonly country: keyof typeof MARKETS;
  readonly year: number;
  readonly number: number;
  readonly random: SeededRandom;
}): Sale {
  const { country, year, number, random } = options;
  const [low, high] = MARKETS[country].cents;
  const copies = random.integer(5, 70);
  const titleIndex = random.integer(0, TITLES.length - 1);
  const soldAt = new Date(Date.UTC(year, 0, 1) + random.integer(0, YEAR_SECONDS - 1) * 1000);
  const base = {
    id: `BS-${String(number).padStart(6, '0')}`,
    country,
    cents: copies * random.integer(low, high),
    sold_at: `${soldAt.toISOString().slice(0, 19)}Z`,
    title: TITLES[titleIndex] as string,
    isbn: isbn(titleIndex),
    copies,
  };
  return random.fraction() < 0.6
    ? { ...base, buyer_email: `orders${random.integer(1, 400)}@${country.toLowerCase()}.example` }
    : base;
}

/** Spreads what is missing to the mean evenly, the remainder one cent each over the first sales. */
function settleArgentina(sales: readonly Sale[]): readonly Sale[] {
  const count = sales.filter((sale) => sale.country === 'AR').length;
  const sum = sales.reduce((total, sale) => total + (sale.country === 'AR' ? sale.cents : 0), 0);
  // Scaled first, so that the rest is less than a cent a sale and no amount falls under zero.
  const scale = (ARGENTINA_MEAN_CENTS * count) / sum;
  const scaled = sales.map((sale) =>
    sale.country === 'AR' ? { ...sale, cents: Math.floor(sale.cents * scale) } : sale,
  );
  let missing = scaled.reduce(
    (rest, sale) => rest - (sale.country === 'AR' ? sale.cents : 0),
    ARGENTINA_MEAN_CENTS * count,
  );
  return scaled.map((sale) => {
    if (sale.country !== 'AR' || missing === 0) return sale;
    missing -= 1;
    return { ...sale, cents: sale.cents + 1 };
  });
}

/** A made-up number in the range for small publishers, with its check digit. */
function isbn(titleIndex: number): string {
  const digits = `97812345${String(titleIndex + 1).padStart(4, '0')}`;
  const sum = [...digits].reduce((total, digit, place) => total + Number(digit) * (place % 2 === 0 ? 1 : 3), 0);
  return `${digits}${(10 - (sum % 10)) % 10}`;
}

function toLine(sale: Sale): string {
  const { id, country, cents, ...rest } = sale;
  const amount = `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
  return JSON.stringify({ id, country, amount, ...rest });
}

if (import.meta.main) await writeFile(new URL('sample.ndjson', import.meta.url), bookSalesSample());
