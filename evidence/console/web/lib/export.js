// An export that is under way: how much came, and a button that ends it. Without this
// the links are plain downloads, and what follows is the browser's.

const number = new Intl.NumberFormat()

/** Makes links of root with data-export show their progress in box. */
export function exports(root, box) {
  const [words, news, bar, cancel] = ['p', '[role=status]', 'progress', 'button'].map((name) => box.querySelector(name))
  let running = null

  const say = (text, done) => {
    words.textContent = text
    bar.hidden = cancel.hidden = Boolean(done)
    if (done) news.textContent = text // who hears it need not hear each step
  }
  cancel.addEventListener('click', () => running?.abort())

  root.addEventListener('click', async (e) => {
    const link = e.target.closest('a[data-export]')
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey) return
    e.preventDefault()
    if (running) return cancel.focus()
    link.closest('details')?.removeAttribute('open')
    running = new AbortController()
    box.hidden = cancel.hidden = false
    news.textContent = ''
    cancel.focus()
    try {
      await fetchAll(link, running.signal, bar, say)
    } catch (problem) {
      say(running.signal.aborted ? 'The export was cancelled; nothing is kept.' : `The export broke off and is not kept: ${problem.message}`, true)
    }
    running = null
  })
}

async function fetchAll(link, signal, bar, say) {
  const what = link.textContent
  const most = Number(link.dataset.most) || 0 // events of one export
  const total = Math.min(Number(link.dataset.total) || 0, most || Infinity)
  bar.removeAttribute('value')
  say(`${what}: asking`)
  const answer = await fetch(link.href, { signal })
  if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.detail ?? `the answer is ${answer.status}`)
  let bytes = 0, lines = 0, shown = 0
  const counting = new TransformStream({
    transform(chunk, out) {
      bytes += chunk.length
      for (let i = chunk.indexOf(10); i >= 0; i = chunk.indexOf(10, i + 1)) lines++
      out.enqueue(chunk)
      if (performance.now() - shown < 250) return
      shown = performance.now()
      if (link.dataset.export === 'ndjson' && total) bar.value = Math.min(lines / total, 1)
      const events = link.dataset.export === 'ndjson' ? `${number.format(lines)}${total ? ` of ${number.format(total)}` : ''} events, ` : ''
      say(`${what}: ${events}${size(bytes)}`)
    },
  })
  // The browser keeps it, on disk when it is large, and gives it away when it is whole.
  const blob = await new Response(answer.body.pipeThrough(counting)).blob()
  const save = document.createElement('a')
  save.href = URL.createObjectURL(blob)
  save.download = link.getAttribute('download') || 'export'
  save.click()
  setTimeout(() => URL.revokeObjectURL(save.href), 60_000)
  const cut = most && Number(link.dataset.total) > most ? `, the newest ${number.format(most)} of ${number.format(Number(link.dataset.total))} events: narrow the filter for the others` : ''
  say(`${what}: done, ${size(bytes)}${cut}.`, true)
}

function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB']
  let n = bytes, i = 0
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000
  return `${new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(n)} ${units[i]}`
}
