import ClavigerWire

extension LifecycleRun {
    /// Does so many random steps, and more until each of these requests has been done at least once, and what else is named as `done`
    /// names it: a run in which something was only ever refused shows little. What chance does not bring about in ten times as many is left to the caller to find missing.
    public func steps(_ count: Int, covering opcodes: [Opcode], _ others: [String] = []) throws {
        let wanted = opcodes.map(\.entry.name) + others
        var steps = 0
        while steps < count || (steps < 10 * count && wanted.contains { done[$0] == nil }) {
            steps += 1
            // No two changes at one moment, so that what comes by creation time has one order.
            target.advance?(1)
            try step()
        }
    }

    private func step() throws {
        switch number(0...239) {
        case 0...19: try create()
        case 20...29: try update()
        case 30...37: try disable()
        case 38...47: try enable()
        case 48...57: try delete()
        case 58...65: try restore()
        case 66...71: try purge()
        case 72...81: try rotate()
        case 82...89: try changeVersion()
        case 90...93: try makeRing()
        case 94...96: try removeRing()
        case 97...102: try move()
        case 103...108: try makeAlias()
        case 109...112: try removeAlias()
        case 113...122: try register()
        case 123...127: try release()
        case 128...135: try setPolicies()
        case 136...138: try set()
        case 139...148: try ask()
        case 149...157: try decide()
        case 158...167: try wrap()
        case 168...177: try unwrap()
        case 178...183: try show()
        case 184...187: try list()
        case 188...190: try repeatLast()
        case 191: try compareEverything()
        case 192: try restart(isCrash: chance(50))
        case 193...206: try createOfMaterial()
        case 207...214: try read()
        case 215...222: try rewrap()
        case 223...229: try importByToken()
        case _: try wait()
        }
    }

    /// Lets time pass, most often to a moment that matters or right beside it.
    private func wait() throws {
        guard let advance = target.advance, let sweep = target.sweep else { return }
        let moments = sortedKeys.flatMap(moments) + model.approvals.filter { $0.state == .open }.map(\.expires)
        if chance(60), let moment = pick(moments), moment > now + 1 {
            let length = moment - now
            advance(pick([length - 1, length, length + 1]) ?? length)
        } else {
            advance(pick([1_000, 30_000, 3_600_000, 4 * 3_600_000, 86_400_000, 10 * 86_400_000]) ?? 0)
        }
        note("time passes")
        if chance(50) {
            try sweep()
            model.sweep(at: now)
        }
    }

    private func moments(of key: ModelKey) -> [UInt64] {
        var moments = [key.expires].compactMap { $0 }
        if key.state == .suspended, let suspended = key.suspended {
            moments.append(suspended + model.milliseconds("enable-delay"))
        }
        if let rotated = key.rotated { moments.append(rotated + model.milliseconds("rotation-interval-minimum")) }
        if let deleted = key.deleted {
            moments += [
                deleted + model.milliseconds("restore-delay"), key.restorableUntil, key.purgeableFrom, key.purgedFrom,
            ]
        }
        moments += key.versions.compactMap { $0.retired.map { $0 + model.milliseconds("purge-delay") } }
        moments += model.importTokens.values.map(\.expires).sorted()
        moments += key.registrations.values.compactMap { $0.record.leaseEnds }
        return moments
    }

    /// Starts the daemon anew; nothing that was answered may be lost.
    public func restart(isCrash: Bool) throws {
        note(isCrash ? "crash" : "restart")
        try target.restart(isCrash: isCrash)
        model.forgetWhatWasShown()
        count(isCrash ? "crash" : "restart", nil)
        try compareEverything()
    }

    // MARK: keys

    private func create() throws {
        guard model.keys.count < keyLimit || chance(15) else { return }
        var message = KeyCreateRequest(name: "key-\(number(0...30))", operation: operation)
        if chance(30) { message.description = "what it is for" }
        if chance(30) { message.tags = (0..<number(0...4)).map { "tag \($0)" } }
        if chance(30) { message.aliases = Set((0..<number(1...3)).map { _ in "alias-\(number(0...40))" }).sorted() }
        if chance(30) { message.ring = "ring-\(number(0...5))" }
        if chance(20), isExact { message.expires = now + UInt64(number(1...5)) * 86_400_000 }
        if chance(3) { message.expires = now - 5_000 }
        if chance(20) { message.rotationMonths = UInt32(number(0...12)) }
        if chance(persons.count > 1 ? 15 : 8) { message.dualControl = DualControl(rawValue: UInt32(number(0...31))) }
        if chance(10) { message.withoutPolicies = true }
        let person = person
        try change(.keyCreate, message, by: person, mask) { (made: KeyRecord?) throws(ModelRefusal) in
            try model.create(message, id: made?.id ?? anyID, by: person, at: made.map { isExact ? now : $0.created } ?? now)
        }
    }

    private func update() throws {
        var message = KeyUpdateRequest(key: reference(), operation: operation)
        if chance(40) { message.name = "key-\(number(0...30))" }
        if chance(40) { message.description = chance(50) ? "" : "text \(number(0...9))" }
        if chance(40) { message.tags = (0..<number(0...6)).map { "tag \($0)" } }
        if chance(20), isExact { message.expires = now + UInt64(number(1...40)) * 86_400_000 }
        if chance(5) { message.expires = 1 }
        if chance(10) { message.expires = 0 }
        if chance(30) { message.revision = revision(of: message.key) }
        try change(.keyUpdate, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.update(message, at: now)
        }
    }

    /// A key's revision, or one beside it.
    private func revision(of reference: KeyReference) -> UInt64? {
        let revision = (try? model.resolve(reference))?.revision ?? 1
        return chance(70) ? revision : revision + 1
    }

    private func disable() throws {
        let message = KeyChangeRequest(
            key: reference { $0.state(at: now) == .active }, operation: operation, reason: chance(20) ? "why" : nil)
        try change(.keyDisable, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.disable(message, at: now)
        }
    }

    private func enable() throws {
        let message = KeyChangeRequest(key: reference { $0.state == .suspended }, operation: operation)
        try change(.keyEnable, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.enable(message, at: now)
        }
    }

    private func delete() throws {
        let message = KeyDeleteRequest(
            key: reference { $0.state != .destroyed && !$0.dual.contains(.delete) }, operation: operation, force: chance(40))
        let person = person
        try change(.keyDelete, message, by: person, mask) { (_: KeyDeleteReply?) throws(ModelRefusal) in
            try model.delete(message, by: person, at: now)
        }
    }

    private func restore() throws {
        let message = KeyChangeRequest(
            key: reference { $0.state == .destroyed && !$0.dual.contains(.restore) }, operation: operation)
        try change(.keyRestore, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.restore(message, at: now)
        }
    }

    private func purge() throws {
        let message = KeyChangeRequest(key: reference { $0.state == .destroyed }, operation: operation)
        try change(.keyPurge, message, by: person, { $0 }) { (_: KeyPurgeReply?) throws(ModelRefusal) in
            try model.purge(message, at: now)
        }
    }

    private func rotate() throws {
        var message = KeyRotateRequest(key: reference(), operation: operation)
        if chance(30) { message.reason = "leaked \(number(0...9))" }
        let key = try? model.resolve(message.key)
        let wantsMaterial = key.map { $0.kind == .standard || $0.isImported } ?? false
        let payload = chance(wantsMaterial ? 75 : 10) ? payload(of: key?.kind ?? .root) : nil
        message.payload = payload.map { ByteRange(offset: 0, count: $0.count) }
        try change(.keyRotate, message, source: payload ?? [], by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.rotate(message, payload.map { .given($0) } ?? .generated, at: now)
        }
    }

    private func changeVersion() throws {
        let version = UInt32(number(1...4))
        if chance(40) {
            // What can be destroyed is rare (retired for a while, under no dual control, nothing pinned to it), so it is looked for.
            let due = now - min(now, model.milliseconds("purge-delay"))
            func ended(_ key: ModelKey) -> Int? {
                let pinned = Set(key.registrations.values.map { Int($0.record.version) - 1 })
                return key.versions.indices.first { index in
                    let version = key.versions[index]
                    return version.state == .retired && version.retired.map { $0 <= due } ?? false && !pinned.contains(index)
                }
            }
            let ready = sortedKeys.filter {
                $0.state != .destroyed && $0.dual.isDisjoint(with: [.delete, .purge]) && ended($0) != nil
            }
            let found = chance(80) ? pick(ready) : nil
            let message = VersionDestroyRequest(
                key: found.map { .id($0.id) } ?? reference { $0.versions.count > 1 && $0.state != .destroyed },
                operation: operation, version: found.flatMap(ended).map { UInt32($0 + 1) } ?? version)
            // Nobody destroys what nobody has looked at.
            if chance(85) { try takeCensus(message.key) }
            try change(.versionDestroy, message, by: person, mask) { (_: VersionRecord?) throws(ModelRefusal) in
                try model.destroy(message, at: now)
            }
        } else {
            let old = sortedKeys.filter {
                $0.state != .destroyed && $0.dual.isDisjoint(with: [.delete, .purge])
                    && $0.versions.dropLast().contains { $0.state == .inUse }
            }
            let found = chance(50) ? pick(old) : nil
            let message = VersionRetireRequest(
                key: found.map { .id($0.id) } ?? reference { $0.versions.count > 1 && $0.state != .destroyed },
                operation: operation,
                version: found?.versions.firstIndex { $0.state == .inUse }.map { UInt32($0 + 1) } ?? version, undo: chance(20))
            try change(.versionRetire, message, by: person, mask) { (_: VersionRecord?) throws(ModelRefusal) in
                try model.retire(message, at: now)
            }
        }
    }

    // MARK: rings, aliases, registrations

    private func makeRing() throws {
        let message = RingCreateRequest(id: chance(5) ? "default" : "ring-\(number(0...6))", operation: operation)
        let person = person
        try change(.ringCreate, message, by: person, mask) { (_: RingRecord?) throws(ModelRefusal) in
            try model.createRing(message, by: person, at: now)
        }
    }

    private func removeRing() throws {
        let id = chance(5) ? "default" : "ring-\(number(0...6))"
        let message = RingDeleteRequest(id: id, operation: operation, force: chance(60))
        try change(.ringDelete, message, by: person, { $0 }) { (_: RingDeleteReply?) throws(ModelRefusal) in
            try model.deleteRing(message, at: now)
        }
    }

    private func move() throws {
        let ring = chance(20) ? "default" : chance(50) ? pick(model.rings.sorted()) ?? "ring-0" : "ring-\(number(0...6))"
        let message = KeyMoveRequest(key: reference(), operation: operation, ring: ring)
        try change(.keyMove, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.move(message, at: now)
        }
    }

    private func makeAlias() throws {
        let alias = chance(10) ? "key-\(number(0...30))" : "alias-\(number(0...40))"
        let message = AliasCreateRequest(key: reference(), operation: operation, alias: alias)
        try change(.aliasCreate, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.createAlias(message, at: now)
        }
    }

    private func removeAlias() throws {
        let alias = pick(sortedKeys.flatMap(\.aliases)) ?? "alias-0"
        let message = AliasDeleteRequest(alias: chance(80) ? alias : "alias-\(number(0...40))", operation: operation)
        try change(.aliasDelete, message, by: person, { $0 }) { (_: EmptyMessage?) throws(ModelRefusal) in
            try model.deleteAlias(message, at: now)
        }
    }

    private func register() throws {
        var message = RegistrationSetRequest(key: reference(), operation: operation, resource: "volume/\(number(0...4))")
        if chance(30) { message.description = chance(30) ? "" : "text \(number(0...9))" }
        if chance(30) { message.retention = chance(30) }
        if chance(30), isExact { message.lease = UInt64(number(0...5)) * 43_200_000 }
        if chance(30) { message.version = UInt32(number(1...4)) }
        if chance(20) { message.revision = UInt64(number(0...3)) }
        let person = person
        try change(.registrationSet, message, by: person, mask) { (_: RegistrationRecord?) throws(ModelRefusal) in
            try model.register(message, by: person, at: now)
        }
    }

    private func release() throws {
        let held = sortedKeys.flatMap { key in key.registrations.keys.sorted().map { (key.id, $0) } }
        let (key, resource) = pick(held) ?? (anyID, "volume/0")
        let message = RegistrationReleaseRequest(
            key: chance(90) ? .id(key) : reference(), operation: operation, resource: resource)
        let person = person
        try change(.registrationRelease, message, by: person, { $0 }) { (_: EmptyMessage?) throws(ModelRefusal) in
            try model.release(message, by: person, at: now)
        }
    }
}
