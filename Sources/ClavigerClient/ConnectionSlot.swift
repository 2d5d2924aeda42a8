/// The connection that a client's calls share; made when it is first needed and whenever the last one has failed.
final class ConnectionSlot: Sendable {
    let path: String
    private let state = Locked(State())
    private let prepare: @Sendable (Connection) throws(ClientError) -> Void

    private struct State {
        var connection: Connection?
        var isClosed = false
    }

    /// A slot for connections to `path`; `prepare` is called with each new one.
    init(path: String, prepare: @escaping @Sendable (Connection) throws(ClientError) -> Void) {
        self.path = path
        self.prepare = prepare
    }

    deinit { close() }

    /// The present connection, or a new one. Connecting to a Unix socket does not block, so neither does this.
    func acquire() throws(ClientError) -> Connection {
        try state.withLock { (state) throws(ClientError) -> Connection in
            guard !state.isClosed else { throw .closed }
            if let connection = state.connection, connection.isUsable { return connection }
            state.connection = nil
            let connection = try make()
            state.connection = connection
            return connection
        }
    }

    /// A connection that nobody else uses.
    func make() throws(ClientError) -> Connection {
        let connection = try Connection(path: path)
        try prepare(connection)
        return connection
    }

    /// Ends the present connection and all later use.
    func close() {
        let connection = state.withLock { state in
            state.isClosed = true
            return state.connection.take()
        }
        connection?.end(.closed)
    }
}
