// Findings: triage by keyboard, on the list and on the page of one.
import { rows, typing } from './lib/rows.js'

const verbs = { a: 'acknowledge', s: 'assign', r: 'resolve', e: 'except', o: 'reopen', c: 'comment' }

const form = document.getElementById('act')
for (const p of document.querySelectorAll('p.keys')) p.hidden = false
const { current } = rows(() => document.querySelector('table.rows'))

// Only the fields that the verb wants are shown.
const verb = document.getElementById('verb')
function fit() {
  for (const label of form.querySelectorAll('[data-for]')) {
    label.hidden = label.dataset.for !== verb.value
    for (const input of label.querySelectorAll('input')) {
      input.disabled = label.hidden
      input.required = !label.hidden && input.type === 'date'
    }
  }
  document.getElementById('reason').required = ['resolve', 'except', 'reopen', 'comment'].includes(verb.value)
}
if (verb) {
  verb.addEventListener('change', fit)
  fit()
}

document.addEventListener('keydown', (e) => {
  if (typing(e)) return
  const row = current()
  if (form && row && e.key === 'x') {
    const box = row.querySelector('input[type=checkbox]')
    if (box) box.checked = !box.checked
    return
  }
  const name = verbs[e.key]
  if (!name) return
  // On the page of one, its form opens.
  const one = document.querySelector(`details.verb[data-key="${e.key}"]`)
  if (one) {
    e.preventDefault()
    one.open = true
    one.querySelector('input:not([type=hidden]), textarea').focus()
    return
  }
  // On the list, the chosen ones, or else the current one.
  if (!form || !verb) return
  const boxes = [...form.querySelectorAll('input[name=key]')]
  if (!boxes.some((b) => b.checked)) {
    if (!row || !row.dataset.may.split(' ').includes(name)) return
    row.querySelector('input[name=key]').checked = true
  }
  e.preventDefault()
  verb.value = name
  fit()
  if (name === 'acknowledge') form.requestSubmit()
  else (form.querySelector(`[data-for="${name}"] input`) ?? document.getElementById('reason')).focus()
})
