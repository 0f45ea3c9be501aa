// A bundle that is dropped on the page is verified as if it had been chosen.

const form = document.querySelector('[data-drop]')
const input = form.querySelector('input[type="file"]')
form.querySelector('[data-drop-hint]').hidden = false

for (const name of ['dragenter', 'dragover']) {
  addEventListener(name, (e) => {
    if (!e.dataTransfer?.types.includes('Files')) return
    e.preventDefault()
    form.classList.add('over')
  })
}
addEventListener('dragleave', (e) => {
  if (!e.relatedTarget) form.classList.remove('over')
})
addEventListener('drop', (e) => {
  if (!e.dataTransfer?.files.length) return
  e.preventDefault()
  form.classList.remove('over')
  input.files = e.dataTransfer.files
  form.requestSubmit()
})
