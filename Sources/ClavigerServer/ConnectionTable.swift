import Synchronization

/// The open connections, each in a slot. A token is slot and generation: one that outlives its connection finds nothing, also when slot and
/// descriptor are another's by then.
final class ConnectionTable: Sendable {
    private struct Slot {
        var generation: UInt32
        var connection: Connection?
    }

    private struct Slots {
        var slots: [Slot] = []
        var free: [Int] = []
    }

    private let slots = Mutex(Slots())

    /// Puts the connection that `make` makes for its token into a slot.
    func insert(_ make: (UInt64) -> Connection) -> Connection {
        slots.withLock { state in
            let index: Int
            if let free = state.free.popLast() {
                index = free
            } else {
                index = state.slots.count
                state.slots.append(Slot(generation: 0, connection: nil))
            }
            state.slots[index].generation &+= 1
            let connection = make(UInt64(state.slots[index].generation) << 32 | UInt64(index))
            state.slots[index].connection = connection
            return connection
        }
    }

    /// The connection of this token, if it is still open.
    func find(_ token: UInt64) -> Connection? {
        slots.withLock { state in
            guard let index = ConnectionTable.index(token, state) else { return nil }
            return state.slots[index].connection
        }
    }

    /// Empties the token's slot. The caller holds a reference of its own, so no connection ends under this lock.
    func remove(_ token: UInt64) {
        slots.withLock { state in
            guard let index = ConnectionTable.index(token, state), state.slots[index].connection != nil else { return }
            state.slots[index].connection = nil
            state.free.append(index)
        }
    }

    /// Whether no connection is open.
    var isEmpty: Bool { slots.withLock { $0.slots.count == $0.free.count } }

    /// All open connections.
    var all: [Connection] { slots.withLock { $0.slots.compactMap(\.connection) } }

    private static func index(_ token: UInt64, _ state: Slots) -> Int? {
        let index = Int(token & 0xffff_ffff)
        guard index < state.slots.count, state.slots[index].generation == UInt32(token >> 32) else { return nil }
        return index
    }
}
