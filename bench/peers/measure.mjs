// What is measured of every queue, in the same way; one JSON line a figure.
//
// node QUEUE.mjs DATABASE_URL SECONDS JOBS BACKLOG SAMPLES

import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** Jobs of one call, where a queue takes several at once. */
const BATCH = 100
/** The same while the backlog is made, which is not measured. */
const BACKLOG_BATCH = 1000
/** Calls under way at the same time: of one job each, and of a batch each. */
const CLIENTS = 32
const BATCHERS = 4
/** A queue of which nothing was heard for so long is broken. */
const PATIENCE_MS = 60_000

/**
 * Measures one queue. It offers: `name`, `prepare(url)`, `add()`, `addMany(count)`, `work(fast, onJob)` (which
 * answers a function that stops), `unfinished()` (how many jobs are not at their committed end), `analyze()`, `close()`.
 */
export async function measure(queue) {
  const [url] = process.argv.slice(2)
  const [time, jobs, backlog, samples] = process.argv.slice(3).map(Number)
  await queue.prepare(url)
  report('version', versionOf(queue.name))
  const added = await enqueueOnes(queue, time)
  report('enqueue', [added / time])
  await enqueueMany(queue, jobs - added, BATCH)
  const drained = [await drain(queue, Math.max(added, jobs))]
  report('enqueue_batches', [await enqueueMany(queue, jobs, BATCH)])
  drained.push(await drain(queue, jobs))
  report('drain', drained)
  report('latency', await latency(queue, samples))
  if (backlog > 0) {
    await enqueueMany(queue, backlog, BACKLOG_BATCH)
    report('backlog', [await fromBacklog(queue, jobs)])
  }
  await queue.close()
}

/** It is pinned. */
function versionOf(name) {
  return JSON.parse(readFileSync(new URL('package.json', import.meta.url))).dependencies[name]
}

function report(key, values) {
  process.stdout.write(`${JSON.stringify({ key, values })}\n`)
}

/** Jobs that clients add within a time, each waiting for one's answer before its next. */
async function enqueueOnes(queue, time) {
  const end = performance.now() + time * 1000
  let added = 0
  const client = async () => {
    while (performance.now() < end) {
      await queue.add()
      added += 1
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return added
}

/** Adds so many jobs in batches, and answers how many a second. */
async function enqueueMany(queue, count, batch) {
  let left = count
  const began = performance.now()
  const client = async () => {
    while (left > 0) {
      const some = Math.min(batch, left)
      left -= some
      await queue.addMany(some)
    }
  }
  await Promise.all(Array.from({ length: BATCHERS }, client))
  return count / seconds(began)
}

/** Jobs a second from the first one's start until none is left. */
async function drain(queue, count) {
  await queue.analyze()
  const started = starts(count)
  const stop = await queue.work(true, started.note)
  await started.all
  const deadline = performance.now() + PATIENCE_MS
  while ((await queue.unfinished()) > 0) {
    if (performance.now() > deadline) throw new Error('jobs that started never ended')
    await sleep(5)
  }
  const rate = count / seconds(started.first())
  await stop()
  return rate
}

/** Jobs a second that start, of many more that wait. */
async function fromBacklog(queue, count) {
  await queue.analyze()
  const started = starts(count)
  const stop = await queue.work(true, started.note)
  await started.all
  const rate = count / seconds(started.first())
  await stop()
  return rate
}

/** Milliseconds from the answer to an addition until the job's start, one after the other. */
async function latency(queue, samples) {
  let arrived
  const stop = await queue.work(false, () => arrived(performance.now()))
  const waits = []
  for (let sample = -10; sample < samples; sample++) {
    const start = new Promise((resolve) => (arrived = resolve))
    await queue.add()
    const answered = performance.now()
    const wait = Math.max(0, (await inTime(start)) - answered)
    // The first ones find connections and statements that nobody has used yet.
    if (sample >= 0) waits.push(wait)
    await sleep(15 + Math.random() * 10)
  }
  await stop()
  return waits
}

/** Counts the jobs that start. */
function starts(count) {
  let seen = 0
  let first
  let done
  let failed
  const all = new Promise((resolve, reject) => ([done, failed] = [resolve, reject]))
  const timer = setTimeout(() => failed(new Error(`${seen} of ${count} jobs started, and no more`)), PATIENCE_MS)
  const note = () => {
    first ??= performance.now()
    seen += 1
    timer.refresh()
    if (seen === count) {
      clearTimeout(timer)
      done()
    }
  }
  return { note, all, first: () => first }
}

/** What comes of it, unless nothing is heard for too long. */
async function inTime(promise) {
  let timer
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error('a job never started')), PATIENCE_MS)))
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function seconds(since) {
  return (performance.now() - since) / 1000
}
