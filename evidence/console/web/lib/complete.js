// A combobox for the filter language: completes the term that the caret is in.

/** The term before the caret, and where it begins. */
export function termAt(text, caret) {
  let start = 0
  let quoted = false
  for (let i = 0; i < caret; i++) {
    if (text[i] === '"') quoted = !quoted
    else if (text[i] === ' ' && !quoted) start = i + 1
  }
  return { start, term: text.slice(start, caret) }
}

/** What may stand in the place of a term. */
export function suggestions(term, fields) {
  const negated = term.startsWith('-') ? '-' : ''
  const bare = term.slice(negated.length)
  const colon = bare.indexOf(':')
  if (colon < 0) {
    const begins = fields.filter((f) => f.name.startsWith(bare))
    const has = fields.filter((f) => !f.name.startsWith(bare) && bare.length > 1 && f.name.includes(bare))
    return [...begins, ...has].slice(0, 12).map((f) => `${negated}${f.name}:`)
  }
  const field = fields.find((f) => f.name === bare.slice(0, colon))
  const list = bare.slice(colon + 1).split(',')
  const last = list.pop()
  const before = list.length ? `${list.join(',')},` : ''
  return (field?.values ?? []).filter((v) => v.startsWith(last) && v !== last).map((v) => `${negated}${field.name}:${before}${v}`)
}

export function complete(input, fields) {
  const list = document.createElement('ul')
  list.id = 'options'
  list.className = 'options'
  list.setAttribute('role', 'listbox')
  list.setAttribute('aria-label', 'Suggestions')
  list.hidden = true
  input.parentElement.append(list)
  for (const [name, value] of Object.entries({ role: 'combobox', 'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': 'options' })) input.setAttribute(name, value)

  let at = -1
  const close = () => {
    list.hidden = true
    at = -1
    input.setAttribute('aria-expanded', 'false')
    input.removeAttribute('aria-activedescendant')
  }
  const mark = (i) => {
    const items = [...list.children]
    at = (i + items.length) % items.length
    items.forEach((li, n) => li.setAttribute('aria-selected', n === at))
    items[at].scrollIntoView({ block: 'nearest' })
    input.setAttribute('aria-activedescendant', items[at].id)
  }
  const take = (text) => {
    const { start } = termAt(input.value, input.selectionStart)
    const rest = input.value.slice(input.selectionStart)
    const whole = text.endsWith(':') ? text : text + (rest.startsWith(' ') ? '' : ' ')
    input.value = input.value.slice(0, start) + whole + rest
    input.setSelectionRange(start + whole.length, start + whole.length)
    offer()
  }
  const offer = () => {
    const { term } = termAt(input.value, input.selectionStart)
    const found = suggestions(term, fields)
    if (!found.length) return close()
    list.replaceChildren(...found.map((text, n) => {
      const li = document.createElement('li')
      li.id = `option-${n}`
      li.setAttribute('role', 'option')
      li.setAttribute('aria-selected', 'false')
      li.textContent = text
      li.addEventListener('mousedown', (e) => {
        e.preventDefault()
        take(text)
      })
      return li
    }))
    at = -1
    list.hidden = false
    input.setAttribute('aria-expanded', 'true')
    input.removeAttribute('aria-activedescendant')
  }
  input.addEventListener('input', offer)
  input.addEventListener('blur', close)
  input.addEventListener('keydown', (e) => {
    if (e.key === 'ArrowDown' && list.hidden) offer()
    if (list.hidden) return
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault()
      mark(e.key === 'ArrowDown' ? at + 1 : at < 0 ? -1 : at - 1)
    } else if ((e.key === 'Enter' || e.key === 'Tab') && at >= 0) {
      e.preventDefault()
      take(list.children[at].textContent)
    } else if (e.key === 'Escape') {
      e.preventDefault()
      e.stopPropagation()
      close()
    }
  })
}
