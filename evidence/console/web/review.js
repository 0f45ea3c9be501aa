// A review: all lines of the page are chosen at once.
import { rows } from './lib/rows.js'

rows(() => document.querySelector('table.rows'))
const all = document.getElementById('all')
if (all) {
  all.hidden = false
  all.addEventListener('change', () => {
    for (const box of document.querySelectorAll('input[name=line]')) box.checked = all.checked
  })
}
