// pg-boss, with its options for throughput (batches, bursts) and for a short wait (LISTEN and NOTIFY).

import { PgBoss } from 'pg-boss'
import pg from 'pg'
import { measure } from './measure.mjs'

// Of these two queues only the second tells of every job that is added, which costs its additions.
const POLLED = 'polled'
const NOTIFIED = 'notified'

let boss
let pool
let adding = POLLED

async function prepare(url) {
  boss = new PgBoss({ connectionString: url, max: 32, useListenNotify: true, schedule: false })
  boss.on('error', console.error)
  await boss.start()
  await boss.createQueue(POLLED)
  await boss.createQueue(NOTIFIED, { notify: true })
  pool = new pg.Pool({ connectionString: url, max: 2 })
}

async function work(fast, onJob) {
  adding = fast ? POLLED : NOTIFIED
  const options = fast
    ? { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
    : { batchSize: 1, localConcurrency: 1 }
  await boss.work(adding, options, async (jobs) => jobs.forEach(onJob))
  return async () => {
    await boss.offWork(adding)
    adding = POLLED
  }
}

async function unfinished() {
  const { rows } = await pool.query("SELECT count(*)::int AS count FROM pgboss.job WHERE state < 'completed'")
  return rows[0].count
}

await measure({
  name: 'pg-boss',
  prepare,
  add: () => boss.send(adding, {}),
  addMany: (count) => boss.insert(adding, Array.from({ length: count }, () => ({ data: {} }))),
  work,
  unfinished,
  analyze: () => pool.query('ANALYZE pgboss.job'),
  close: async () => {
    await boss.stop()
    await pool.end()
  },
})
