// graphile-worker, with the settings that its page on performance measures with.

import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import pg from 'pg'
import { measure } from './measure.mjs'

// Only what went wrong: a line a job would be what is measured.
const logger = new Logger(() => (level, message) => {
  if (level === 'error') console.error(message)
})
const TASK = 'noop'

let url
let pool
let utils

/** `fast`: jobs are fetched 500 at once and ended together; else each is fetched as soon as it is notified of. */
function preset(fast) {
  const batches = fast ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}
  return { worker: { connectionString: url, concurrentJobs: 24, maxPoolSize: 25, logger, ...batches } }
}

async function prepare(address) {
  url = address
  pool = new pg.Pool({ connectionString: url, max: 2 })
  utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: 32, logger })
  await utils.migrate()
}

async function addMany(count) {
  await utils.addJobs(Array.from({ length: count }, () => ({ identifier: TASK, payload: {} })))
}

async function work(fast, onJob) {
  const runner = await run({ preset: preset(fast), noHandleSignals: true, taskList: { [TASK]: onJob }, parsedCronItems: [] })
  return () => runner.stop()
}

async function unfinished() {
  // A job that has ended is no row any more.
  const { rows } = await pool.query('SELECT count(*)::int AS count FROM graphile_worker._private_jobs')
  return rows[0].count
}

await measure({
  name: 'graphile-worker',
  prepare,
  add: () => utils.addJob(TASK, {}),
  addMany,
  work,
  unfinished,
  analyze: () => pool.query('ANALYZE graphile_worker._private_jobs'),
  close: async () => {
    await utils.release()
    await pool.end()
  },
})
