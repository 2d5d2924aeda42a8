import ClavigerWire
import Cryptoki
import Logging
import Synchronization

// Destroying objects on the token: only those whose end is committed in the database, and only while nobody can hold their handles.
extension TokenService {
    /// Orders that are carried out in one go: the supervisor has other things to do, too.
    private static let ordersAtOnce = 8
    /// How long to wait for requests to leave, in nanoseconds: newcomers wait behind, so a request that is stuck in the token must not
    /// keep them long.
    private static let orderPatience: UInt64 = 1_000_000_000

    /// How long after an attempt that failed the next comes, in nanoseconds.
    private static let orderPause: UInt64 = 5_000_000_000

    /// Notes that there may be objects to be destroyed.
    func wantOrders() {
        supervision.withLock { $0.ordersDue = Clock.monotonic() }
        bell.ring()
    }

    /// The supervisor's part: carries out what is due.
    ///
    /// - Returns: when to come again; nil when somebody will ring.
    func carryOutDueOrders() -> UInt64? {
        let due = supervision.withLock { $0.ordersDue }
        guard let due else { return nil }
        guard due <= Clock.monotonic() else { return due }
        supervision.withLock { $0.ordersDue = nil }
        // A token that is away is bound again before it serves, and then there are new handles.
        guard currentStatus.state.serves, !carryOutOrders() else { return nil }
        let next = Clock.monotonic() + TokenService.orderPause
        supervision.withLock { $0.ordersDue = next }
        return next
    }

    /// Carries out the orders that there are, but for those whose objects were looked for in vain.
    ///
    /// - Returns: false when it has to be tried again later.
    @discardableResult
    func carryOutOrders() -> Bool {
        while true {
            let orders: [DestroyOrder]
            do throws(StoreError) { orders = try store.destroyOrders() } catch {
                log.error("orders to destroy objects cannot be read", metadata: ["error": "\(error)"])
                return false
            }
            let setAside = supervision.withLock { $0.ordersSetAside }
            let batch = Array(orders.lazy.filter { !setAside.contains($0.objectID) }.prefix(TokenService.ordersAtOnce))
            guard !batch.isEmpty else { return true }
            busy.step(.supervisor)
            // An order can be read before its change is published. Changes are made one at a time, so after this it has been, and
            // requests that come from now on know nothing of the handles.
            ledger.alone {}
            let outcome = carryOut(batch)
            supervision.withLock { $0.ordersSetAside.formUnion(outcome.setAside) }
            do throws(StoreError) { try store.close(outcome.done) } catch {
                log.error("orders that were carried out cannot be closed", metadata: ["error": "\(error)"])
                return false
            }
            guard outcome.isWhole else { return false }
        }
    }

    /// What came of some orders.
    private struct Outcome {
        /// Those whose objects are gone.
        var done: [DestroyOrder] = []
        /// The objects of those that a binding has to decide about.
        var setAside: Set<[UInt8]> = []
        /// Whether the token could be worked with all the time.
        var isWhole = true
    }

    /// Carries out some orders, one object after the other: requests go on meanwhile.
    private func carryOut(_ orders: [DestroyOrder]) -> Outcome {
        var outcome = Outcome()
        // Whoever may still hold the handles came before the change was published. When he has left nobody knows them.
        guard gate.enterAlone(until: Clock.monotonic() + TokenService.orderPatience) else {
            outcome.isWhole = false
            return outcome
        }
        let generation = snapshots.current.generation
        gate.leave()
        var destroyed: [DestroyOrder] = []
        for order in orders where outcome.isWhole {
            busy.step(.supervisor)
            switch gate.shared({ destroy(order, generation) }) {
            case true?: destroyed.append(order)
            case false?: outcome.setAside.insert(order.objectID)
            case nil: outcome.isWhole = false
            }
        }
        guard !destroyed.isEmpty else { return outcome }
        // The token's word alone is not enough, and a file that is gone must stay gone after a power failure.
        for order in destroyed {
            busy.step(.supervisor)
            switch gate.shared({ find(order) }) {
            case let rest? where rest.isEmpty: outcome.done.append(order)
            case _?: outcome.setAside.insert(order.objectID)
            case nil: outcome.isWhole = false
            }
        }
        do throws(FileError) { try files?.syncDirectories() } catch {
            log.error("the token's storage cannot be synced", metadata: ["error": "\(error)"])
            outcome.done = []
            outcome.isWhole = false
        }
        for order in outcome.done { log.notice("object destroyed", metadata: order.metadata) }
        return outcome
    }

    /// The objects of an order; nil when they cannot be looked for now. Call it inside the gate.
    private func find(_ order: DestroyOrder) -> [ObjectHandle]? {
        do throws(CryptokiError) {
            return try manage { (session, _) throws(CryptokiError) in try objects(of: order, &session) }
        } catch {
            log.error("objects to be destroyed cannot be looked for", metadata: ["error": "\(error)"])
            if error.meansLost { declareLost(error.description) }
            return nil
        }
    }

    /// Our objects of this id, whatever their class: a key pair's public half goes with it.
    func objects(of order: DestroyOrder, _ session: inout Session) throws(CryptokiError) -> [ObjectHandle] {
        let prefix = Array(ObjectName.labelPrefix(instance: instance.id).utf8)
        var ours: [ObjectHandle] = []
        for object in try session.findObjects(matching: [.bool(.token, true), .id(order.objectID)], limit: 16) {
            if try session.bytes(.label, of: object).starts(with: prefix) { ours.append(object) }
        }
        return ours
    }

    /// Destroys the objects of an order. Call it inside the gate, when nobody holds their handles.
    ///
    /// - Parameter generation: that of the token when the last of those who might have held them had left.
    /// - Returns: false when there are none, or none may be destroyed; nil when the token could not be worked with now.
    private func destroy(_ order: DestroyOrder, _ generation: UInt64) -> Bool? {
        do throws(CryptokiError) {
            // Judged, found and destroyed under one lock: a change that makes an object of this name is done under it, too.
            let isDone: Bool?? = try manage { (session, _) throws(CryptokiError) -> Bool? in
                guard snapshots.current.generation == generation else { return nil }
                guard !isNeeded(order, snapshots.current.keys) else {
                    log.critical("an order is against an object that is in use; it is not carried out", metadata: order.metadata)
                    return false
                }
                let found = try objects(of: order, &session)
                for object in found {
                    try session.destroyObject(object)
                    supervision.withLock { _ = $0.ordersBegun.insert(order.objectID) }
                }
                // What was begun earlier and cut off may have been done.
                if !found.isEmpty || supervision.withLock({ $0.ordersBegun.contains(order.objectID) }) { return true }
                // Not found can mean not seen: the next binding, which looks at everything, decides.
                log.warning("an object to be destroyed was not found", metadata: order.metadata)
                return false
            }
            return isDone ?? nil
        } catch {
            log.error("object not destroyed", metadata: order.metadata.merging(["error": "\(error)"]) { old, _ in old })
            guard error.meansLost else { return false }
            declareLost(error.description)
            return nil
        }
    }

    /// Orders that are carried out while binding: nobody is served meanwhile, so many are left to the supervisor.
    static let ordersWhileBinding = 8

    /// What one binding does with orders.
    struct BindingOrders {
        /// How many more may be carried out.
        var left = TokenService.ordersWhileBinding
        /// Those that are left to the supervisor.
        var postponed: Set<DestroyOrder> = []
    }

    /// Does with what was ordered before this binding: objects that are gone need no order any more, some are destroyed now, and the rest is
    /// the supervisor's when the token serves; what is ordered is found by nobody else. Called when the token has proven to be ours, under
    /// the lock and alone.
    func destroyOrdered(
        _ objects: inout TokenObjects, _ binding: inout BindingOrders, _ session: inout Session
    ) throws(TokenFailure) {
        let asFailure = { (error: StoreError) in TokenFailure(error) }
        let orders = try mapping(asFailure) { () throws(StoreError) in try store.destroyOrders() }
        guard !orders.isEmpty else { return }
        let needed = KeyMap(try ledger.load())
        var done: [DestroyOrder] = []
        for order in orders where !binding.postponed.contains(order) {
            guard !isNeeded(order, needed) else {
                log.critical("an order is against an object that is in use; it is not carried out", metadata: order.metadata)
                continue
            }
            // Of a pair there may be only the public half, which has not been looked for.
            let mayBeThere = objects.holds(order.objectID) || ObjectName(objectID: order.objectID)?.role == .importPair
            guard !mayBeThere || binding.left > 0 else {
                objects.forget(order.objectID)
                binding.postponed.insert(order)
                continue
            }
            do throws(CryptokiError) {
                busy.step(.attach)
                let found = mayBeThere ? try self.objects(of: order, &session) : []
                binding.left -= found.isEmpty ? 0 : 1
                for object in found { try session.destroyObject(object) }
                // Where objects cannot be read, this one may be among them.
                guard !found.isEmpty || objects.unreadable == 0 else { continue }
                objects.forget(order.objectID)
                done.append(order)
                if !found.isEmpty { log.notice("object destroyed", metadata: order.metadata) }
            } catch {
                if error.meansLost { throw .lost(error.description) }
                log.error("object not destroyed", metadata: order.metadata.merging(["error": "\(error)"]) { old, _ in old })
            }
        }
        do throws(FileError) { try files?.syncDirectories() } catch { throw TokenFailure(error) }
        let closed = done
        try mapping(asFailure) { () throws(StoreError) in try store.close(closed) }
    }

    /// Whether a version that is in use is made of the object: then the order is wrong, whoever wrote it.
    private func isNeeded(_ order: DestroyOrder, _ keys: KeyMap) -> Bool {
        guard let name = ObjectName(objectID: order.objectID) else { return false }
        if name.key.bytes == instance.id.bytes { return true }
        guard name.role == .cipher || name.role == .authentication, let key = keys[name.key],
            let version = key.version(name.version)
        else { return false }
        return key.needsObject(version)
    }
}

extension DestroyOrder {
    /// For the log.
    var metadata: Logger.Metadata {
        let name = ObjectName(objectID: objectID)
        return [
            "key": "\(name.map { "\($0.key)" } ?? "?")", "version": "\(name?.version ?? 0)", "role": "\(name?.role.name ?? "?")",
            "reason": "\(reason)",
        ]
    }
}
