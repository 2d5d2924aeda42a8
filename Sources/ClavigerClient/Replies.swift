import ClavigerWire

/// How each call's answer is read. A reply that breaks the protocol throws `protocolViolation`.
enum Replies {
    /// The message in a reply.
    static func message<Message: WireMessage>(_ frame: ReplyFrame, as type: Message.Type = Message.self) throws(ClientError)
        -> Message
    {
        try frame.buffer.withSpan { (span) throws(ClientError) -> Message in
            do throws(Refusal) {
                return try Message.decode(span, frame.body)
            } catch {
                throw .protocolViolation("a reply's body is broken: \(error.message)")
            }
        }
    }

    /// The error that a refusal frame stands for.
    static func refusal(_ frame: ReplyFrame) -> ClientError {
        do throws(ClientError) {
            let body = try message(frame, as: RefusalBody.self)
            return .refused(ServerRefusal(number: frame.header.detail, message: body.message, retryAfter: body.retryAfter))
        } catch {
            return error
        }
    }

    /// What a standard key keeps.
    static func secret(_ frame: ReplyFrame) throws(ClientError) -> StandardSecret {
        let reply = try message(frame, as: KeyReadReply.self)
        return StandardSecret(
            payload: Plaintext(frame.buffer, reply.payload), key: reply.key, version: reply.version)
    }

    // MARK: wrap, unwrap, rewrap

    /// The items of a reply, as many as were asked for.
    static func items(_ frame: ReplyFrame, count: Int) throws(ClientError) -> [CipherItem] {
        let reply = try message(frame, as: CipherReply.self)
        guard reply.items.count == count else {
            throw .protocolViolation("a reply has \(reply.items.count) items for a request of \(count)")
        }
        return reply.items
    }

    /// Reads every item with `read`; keeps the frame for the plaintext that lies in it.
    static func batch<Item: Sendable>(
        _ frame: ReplyFrame, count: Int, _ read: (CipherItem, ReplyFrame) throws(ClientError) -> Item
    ) throws(ClientError) -> BatchReply<Item> {
        var results: [Result<Item, ServerRefusal>] = []
        var plaintexts: [ByteRange?] = []
        for item in try items(frame, count: count) {
            if let refusal = refusal(of: item) {
                results.append(.failure(refusal))
                plaintexts.append(nil)
            } else {
                results.append(.success(try read(item, frame)))
                plaintexts.append(item.plaintext)
            }
        }
        return BatchReply(results: results, buffer: frame.buffer, plaintexts: plaintexts)
    }

    /// The one item of a reply; its refusal is thrown.
    static func single<Item: ~Copyable>(
        _ frame: ReplyFrame, _ read: (CipherItem, ReplyFrame) throws(ClientError) -> Item
    ) throws(ClientError) -> Item {
        let item = try items(frame, count: 1)[0]
        if let refusal = refusal(of: item) { throw .refused(refusal) }
        return try read(item, frame)
    }

    static func wrapped(_ item: CipherItem, _ frame: ReplyFrame) throws(ClientError) -> Wrapped {
        guard let range = item.envelope, let key = item.key, let version = item.envelopeVersion ?? item.version else {
            throw .protocolViolation("an item of a reply lacks its envelope, key or version")
        }
        return Wrapped(envelope: frame.buffer.withSpan { $0.part(range).array() }, key: key, version: version)
    }

    static func generated(_ item: CipherItem, _ frame: ReplyFrame) throws(ClientError) -> Generated {
        let wrapped = try wrapped(item, frame)
        return Generated(plaintext: try plaintext(item, frame), wrapped: wrapped)
    }

    static func rewrapped(_ item: CipherItem, _ frame: ReplyFrame) throws(ClientError) -> Rewrapped {
        let wrapped = try wrapped(item, frame)
        return Rewrapped(wrapped: wrapped, previousVersion: item.version ?? wrapped.version)
    }

    static func opened(_ item: CipherItem, _ frame: ReplyFrame) throws(ClientError) -> Opened {
        guard let key = item.key, let version = item.version, item.plaintext != nil else {
            throw .protocolViolation("an item of a reply lacks its plaintext, key or version")
        }
        let refreshed = item.envelope == nil ? nil : try wrapped(item, frame)
        return Opened(key: key, version: version, isStale: item.stale ?? false, refreshed: refreshed)
    }

    static func unwrapped(_ item: CipherItem, _ frame: ReplyFrame) throws(ClientError) -> Unwrapped {
        let opened = try opened(item, frame)
        return Unwrapped(plaintext: try plaintext(item, frame), opened: opened)
    }

    private static func plaintext(_ item: CipherItem, _ frame: ReplyFrame) throws(ClientError) -> Plaintext {
        guard let range = item.plaintext else { throw .protocolViolation("an item of a reply lacks its plaintext") }
        return Plaintext(frame.buffer, range)
    }

    private static func refusal(of item: CipherItem) -> ServerRefusal? {
        item.code == 0 ? nil : ServerRefusal(number: item.code, message: item.message ?? "")
    }
}
