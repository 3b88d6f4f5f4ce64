"""Commands run by the server of the same library, where one runs: its model is warm.

    commands      each command once: what it is given, and the use case that it calls
    runtime_file  how a server is found: `run/server.json` in its home folder
    server        the side of the server: a Unix socket, a thread a command
    client        the side of the terminal

    terminal -> client -> socket -> server -> commands -> services
            `-> commands -> services, where no server can be used

Decision: both ways call the same function of `commands`, because what a command does must not
depend on whether a server happens to run.
Decision: a Unix socket below the home folder and a token beside it, both for their owner alone,
because the HTTP API serves people who have accounts, and a command of the owner needs none. Nothing
of it can be reached over the network.
Decision: a server is used only if it has the same version and the same settings of what shapes
results; with `--model`, another fps or another configuration a command works alone, as always.
"""
