"""The client library. What users need of it is offered by `import coord`; its guide is README.md in this folder."""
