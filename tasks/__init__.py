"""The step library, on top of the public API: model calls, HTTP, e-mail, and the support agent.

`saga.tasks.model`   `ask`, `decide` and the steps `ask_model`, `call_model` (extra: anthropic)
`saga.tasks.http`    `call` and the step `http_request` (extra: anthropic)
`saga.tasks.mail`    `send` and the step `send_mail`
`saga.tasks.support` the saga `resolve_issue`, which `saga demo` runs
"""
