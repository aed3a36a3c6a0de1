import assert from 'node:assert/strict';
import { acknowledgedEarly, answeredEarly, firstAnswerAt, syncedBefore } from './promises.ts';
import { parseTrace } from './traced-service.ts';

const REQUEST = 'ed12b84e457449adedf13e173e504f6d';
const PROMISED = [{ requestId: REQUEST, sequence: 7 }];
const OPEN = '10 openat(AT_FDCWD</>, "/d/bus/data.mdb", O_WRONLY|O_DSYNC|O_CLOEXEC) = 26</d/bus/data.mdb>';
const PAGES = `11 writev(25</d/bus/data.mdb>, [{iov_base="\\5${REQUEST}", iov_len=4096}], 1) = 4096`;
const SYNC = '11 fdatasync(25</d/bus/data.mdb>) = 0';
const META = '11 pwrite64(26</d/bus/data.mdb>, "\\0\\0"..., 128, 40) = 128';
const ANSWER = `10 write(31<socket:[7]>, "HTTP/1.1 202 Accepted\\r\\nVigia-Request-Id: ${REQUEST}"..., 747) = 747`;
const COMMIT = `12 write(28</d/warehouse.duckdb.wal>, "d\\0${REQUEST}", 381) = 381`;
const COMMIT_SYNC = '12 fsync(28</d/warehouse.duckdb.wal>) = 0';
const SETTLE =
  '11 writev(25</d/bus/data.mdb>, [{iov_base="{\\"sequence\\":7,\\"settledAtMs\\":1}", iov_len=4096}], 1) = 4096';
const IN_ORDER = [OPEN, PAGES, SYNC, META, ANSWER, COMMIT, COMMIT_SYNC, SETTLE];

const early = (lines: readonly string[]) => answeredEarly(parseTrace(lines.join('\n')), PROMISED).length;
const acknowledged = (lines: readonly string[]) => acknowledgedEarly(parseTrace(lines.join('\n')), PROMISED).length;

describe('what a trace says of the promises', () => {
  it('finds nothing when sync and meta page come before the answer, and the commit before the acknowledgement', () => {
    assert.equal(early(IN_ORDER), 0);
    assert.equal(acknowledged(IN_ORDER), 0);
  });

  const wrong: readonly (readonly [string, readonly string[]])[] = [
    ['the answer comes before the sync', [OPEN, PAGES, ANSWER, SYNC, META]],
    ['the answer comes before the meta page', [OPEN, PAGES, SYNC, ANSWER, META]],
    ['there is no sync', [OPEN, PAGES, META, ANSWER]],
    ['the sync failed', [OPEN, PAGES, SYNC.replace('= 0', '= -1 EIO (Input/output error)'), META, ANSWER]],
    ['the sync came before the pages', [OPEN, SYNC, PAGES, META, ANSWER]],
    ['the sync is of another file', [OPEN, PAGES, SYNC.replace('bus', 'state'), META, ANSWER]],
    ['no page holds the message', [OPEN, SYNC, META, ANSWER]],
    ['the meta page is not written synchronously', [PAGES, SYNC, META, ANSWER]],
    ['the meta page could not be written', [OPEN, PAGES, SYNC, META.replace('= 128', '= -1 ENOSPC (full)'), ANSWER]],
    [
      'the sync had begun and not returned',
      [OPEN, PAGES, SYNC.replace(') = 0', ' <unfinished ...>'), META, ANSWER, '11 <... fdatasync resumed>) = 0'],
    ],
    ['there is no answer', [OPEN, PAGES, SYNC, META]],
  ];
  for (const [name, lines] of wrong) it(`finds an early answer when ${name}`, () => assert.equal(early(lines), 1));

  it('joins the two halves of a call that another thread came between', () => {
    const halves = [SYNC.replace(') = 0', ' <unfinished ...>'), '12 read(3) = 0', '11 <... fdatasync resumed>) = 0'];
    assert.equal(early([OPEN, PAGES, ...halves, META, ANSWER]), 0);
  });

  it('finds an acknowledgement before the commit, without its sync, and one that never came', () => {
    assert.equal(acknowledged([COMMIT, SETTLE, COMMIT_SYNC]), 1);
    assert.equal(acknowledged([SETTLE, COMMIT, COMMIT_SYNC]), 1);
    assert.equal(acknowledged([COMMIT, COMMIT_SYNC.replace('= 0', '= -1 EIO (Input/output error)'), SETTLE]), 1);
    assert.equal(acknowledged([COMMIT, COMMIT_SYNC]), 1);
  });

  it('tells what was synced before the first answer', () => {
    const calls = parseTrace(IN_ORDER.join('\n'));
    assert.deepEqual([...syncedBefore(calls, firstAnswerAt(calls))], ['/d/bus/data.mdb']);
  });
});
