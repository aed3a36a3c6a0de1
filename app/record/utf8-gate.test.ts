import assert from 'node:assert/strict';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { Utf8Gate } from './utf8-gate.ts';

function throughGate(chunks: readonly Buffer[]): string {
  const gate = new Utf8Gate();
  const text = chunks.map((chunk) => gate.push(chunk)).join('');
  gate.end();
  return text;
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const bounds = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return bounds.slice(1).map((end, index) => bytes.subarray(bounds[index] ?? 0, end));
}

function refusedAt(chunks: readonly Buffer[]): number {
  try {
    throughGate(chunks);
  } catch (error) {
    assert.ok(error instanceof AppError && error.code === 'MALFORMED_UTF8');
    return Number(/at byte (\d+)/.exec(error.publicMessage)?.[1]);
  }
  return -1;
}

describe('Utf8Gate', () => {
  it('gives the text back whatever the chunks', () => {
    const text = fc.string({ unit: 'binary' }).filter((one) => !one.startsWith('\uFEFF') && one.isWellFormed());
    fc.assert(
      fc.property(text, fc.array(fc.nat(200), { maxLength: 8 }), (sent, places) => {
        assert.equal(throughGate(cut(Buffer.from(sent), places)), sent);
      }),
    );
  });

  it('agrees with TextDecoder on every bytes, whatever the chunks', () => {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const bytes = fc.array(
      fc.oneof(fc.nat(255), fc.constantFrom(0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0xed, 0xa0, 0xef, 0xbb, 0xbf)),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(12), { maxLength: 4 }), (sent, places) => {
        const body = Buffer.from(sent);
        let expected: string | undefined;
        try {
          expected = decoder.decode(body);
        } catch {
          expected = undefined;
        }
        if (expected === undefined) assert.ok(refusedAt(cut(body, places)) >= 0);
        else assert.equal(throughGate(cut(body, places)), expected);
      }),
      { numRuns: 500 },
    );
  });

  it('checks the same bytes that it makes text of, and names the same wrong one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.array(fc.nat(12), { maxLength: 4 }), (sent, places) => {
        const chunks = cut(Buffer.from('é'), []).concat(cut(Buffer.from(sent), places));
        assert.equal(outcomeOf(chunks, 'check'), outcomeOf(chunks, 'push'));
      }),
      { numRuns: 500 },
    );
  });

  it('takes a byte order mark off the start only', () => {
    assert.equal(throughGate([Buffer.from('\uFEFFa\uFEFFb')]), 'a\uFEFFb');
    assert.equal(throughGate(cut(Buffer.from('\uFEFFa'), [1, 2])), 'a');
    assert.equal(throughGate([Buffer.from('a'), Buffer.from('\uFEFF')]), 'a\uFEFF');
    assert.equal(throughGate([Buffer.from('é'), Buffer.from('\uFEFF')]), 'é\uFEFF');
  });

  it('names the wrong byte of the body', () => {
    assert.equal(refusedAt([Buffer.from('aé'), Buffer.from([0x62, 0xff, 0x63])]), 4);
    assert.equal(refusedAt([Buffer.from([0x61, 0xe2, 0x82])]), 1, 'a character that never ends');
    assert.equal(refusedAt([Buffer.from([0xe2]), Buffer.from([0x82, 0x41])]), 0);
  });
});

function outcomeOf(chunks: readonly Buffer[], how: 'check' | 'push'): string {
  const gate = new Utf8Gate();
  try {
    for (const chunk of chunks) gate[how](chunk);
    gate.end();
    return 'UTF-8';
  } catch (error) {
    return String(error);
  }
}
