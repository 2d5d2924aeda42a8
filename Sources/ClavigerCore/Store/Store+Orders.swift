import ClavigerWire

/// An object whose end is decided: it is destroyed on the token once nobody can hold its handle.
package struct DestroyOrder: Hashable, Sendable {
    /// The object's CKA_ID.
    package var objectID: [UInt8]
    /// When it was ordered, in milliseconds since 1970.
    package var ordered: UInt64
    /// Why, for the log.
    package var reason: String

    package init(objectID: [UInt8], ordered: UInt64, reason: String) {
        self.objectID = objectID
        self.ordered = ordered
        self.reason = reason
    }

    package init(_ name: ObjectName, ordered: UInt64, reason: String) {
        self.init(objectID: name.objectID, ordered: ordered, reason: reason)
    }
}

extension Store {
    /// The oldest orders that are still to be carried out.
    package func destroyOrders(limit: Int = .max) throws(StoreError) -> [DestroyOrder] {
        try withConnection { connection throws(StoreError) in
            var orders: [DestroyOrder] = []
            try connection.run(
                "SELECT cka_id, ordered_ms, reason FROM destroy_order ORDER BY ordered_ms, cka_id LIMIT ?",
                [.integer(Int64(limit))]
            ) { row throws(StoreError) in
                orders.append(DestroyOrder(objectID: row.blob(0), ordered: row.unsigned(1), reason: row.text(2)))
            }
            return orders
        }
    }

    /// Notes that the objects of these orders are gone.
    package func close(_ orders: [DestroyOrder]) throws(StoreError) {
        guard !orders.isEmpty else { return }
        try transaction { connection throws(StoreError) in
            for order in orders {
                try connection.run("DELETE FROM destroy_order WHERE cka_id = ?", [.blob(order.objectID)])
            }
        }
    }
}

extension SQLiteConnection {
    /// Orders an object's end, in the transaction of the change that decides it. A second order of the same object adds nothing.
    func insert(_ order: DestroyOrder) throws(StoreError) {
        try run(
            "INSERT OR IGNORE INTO destroy_order (cka_id, ordered_ms, reason) VALUES (?, ?, ?)",
            [.blob(order.objectID), .unsigned(order.ordered), .text(order.reason)])
    }
}
