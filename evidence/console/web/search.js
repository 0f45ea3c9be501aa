// Search: completion of the filter, events beside their table, and a live view.
import { rows } from './lib/rows.js'
import { localTimes } from './lib/times.js'
import { complete } from './lib/complete.js'
import { exports } from './lib/export.js'

const fields = [...document.querySelectorAll('#fields option')].map((o) => ({ name: o.value, values: (o.label ?? '').split(' ').filter(Boolean) }))
complete(document.getElementById('filter'), fields)

const part = async (url, selector, signal) => {
  const res = await fetch(url, { headers: { Accept: 'text/html' }, signal })
  const page = new DOMParser().parseFromString(await res.text(), 'text/html')
  return page.querySelector(selector) ?? page.querySelector('main')
}

// The rows are there before anybody has counted what passes the filter.
let bars = document.getElementById('bars')
const overTime = bars?.querySelector('a').href
async function count() {
  const figure = await part(overTime, 'figure.bars').catch(() => null) // the link stays
  if (!figure?.matches('figure')) return
  localTimes(figure)
  bars.replaceWith(figure)
  bars = figure
  for (const link of document.querySelectorAll('a[data-export]')) link.dataset.total = figure.dataset.total
}
if (bars) count()

exports(document, document.getElementById('export'))

// The event of a row, beside the table.
const drawer = document.getElementById('drawer')
let from = null
async function open(link) {
  from = link
  let event
  try {
    event = await part(link.href, '#event')
  } catch {
    location.href = link.href
    return
  }
  const close = document.createElement('button')
  close.className = 'close'
  close.textContent = 'Close'
  close.addEventListener('click', shut)
  const page = document.createElement('a')
  page.href = link.href
  page.textContent = 'Its own page'
  drawer.replaceChildren(close, page, event)
  localTimes(drawer)
  drawer.hidden = false
  close.focus()
}
function shut() {
  drawer.hidden = true
  drawer.replaceChildren()
  from?.focus()
}
document.addEventListener('keydown', (e) => {
  if (e.key === 'Escape' && !drawer.hidden) shut()
})
rows(() => document.querySelector('#results table.rows'), open)

// The same search again and again, while it is looked at.
const live = document.getElementById('live')
const first = !new URLSearchParams(location.search).has('after')
live.hidden = !first
let timer
async function refresh() {
  if (!document.hidden && drawer.hidden) {
    try {
      const fresh = await part(location.href, '#results')
      localTimes(fresh)
      document.getElementById('results').replaceChildren(...fresh.childNodes)
      if (bars) await count()
    } catch { /* the next one may do */ }
  }
  if (live.getAttribute('aria-pressed') === 'true') timer = setTimeout(refresh, 5000)
}
live.addEventListener('click', () => {
  const on = live.getAttribute('aria-pressed') !== 'true'
  live.setAttribute('aria-pressed', on)
  clearTimeout(timer)
  if (on) refresh()
})

// The address is the search: share it.
const share = document.getElementById('share')
share.addEventListener('click', async (e) => {
  e.preventDefault()
  try {
    await navigator.clipboard.writeText(location.href)
    share.textContent = 'Link copied'
  } catch {
    share.textContent = 'The address of this page is the link'
  }
})
