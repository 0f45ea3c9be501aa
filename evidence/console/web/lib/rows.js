// Rows of a table that can be gone through by keyboard.

/** Whether keys are meant for something else: a field, a menu, a shortcut of the browser. */
export const typing = (e) => e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input:not([type=checkbox]), textarea, select, [contenteditable]')

/** j and k move through the rows of table; open is told the row of Enter or of a click on its link. */
export function rows(table, open) {
  const all = () => [...table().querySelectorAll('tbody tr')]
  const current = () => table()?.querySelector('tr.current') ?? null
  const go = (row) => {
    if (!row) return
    current()?.classList.remove('current')
    row.classList.add('current')
    row.querySelector('a.open')?.focus({ preventScroll: true })
    row.scrollIntoView({ block: 'nearest' })
  }
  document.addEventListener('keydown', (e) => {
    if (typing(e) || !table() || document.querySelector('dialog[open]')) return
    const list = all()
    const at = list.indexOf(current())
    if (e.key === 'j' || e.key === 'k') {
      e.preventDefault()
      go(list[Math.max(0, Math.min(list.length - 1, e.key === 'j' ? at + 1 : at - 1))])
    }
  })
  document.addEventListener('focusin', (e) => {
    const row = e.target.closest('table.rows tbody tr')
    if (row && row !== current()) {
      current()?.classList.remove('current')
      row.classList.add('current')
    }
  })
  if (open) document.addEventListener('click', (e) => {
    const link = e.target.closest('table.rows a.open')
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return
    e.preventDefault()
    open(link)
  })
  return { current, go }
}
