import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct WrapCounterTests {
    /// Takes one encryption; what was reserved for it is added to `reservations`.
    private func take(_ counter: WrapCounter, _ reservations: inout [UInt64]) throws(Refusal) -> Bool {
        try counter.take { reservations.append($0) }
    }

    @Test func aBlockIsReservedBeforeItsFirstUse() throws {
        let counter = WrapCounter(reserved: 0)
        var reservations: [UInt64] = []
        #expect(try take(counter, &reservations) == false)
        #expect(reservations == [WrapBudget.block])
        for _ in 1..<WrapBudget.block { _ = try take(counter, &reservations) }
        #expect(reservations == [WrapBudget.block])
        _ = try take(counter, &reservations)
        #expect(reservations == [WrapBudget.block, 2 * WrapBudget.block])
        #expect(counter.reserved == 2 * WrapBudget.block)
    }

    @Test func aRestartBeginsAtWhatWasReserved() throws {
        var reservations: [UInt64] = []
        let before = WrapCounter(reserved: 0)
        _ = try take(before, &reservations)
        let after = WrapCounter(reserved: before.reserved)
        _ = try take(after, &reservations)
        #expect(reservations == [WrapBudget.block, 2 * WrapBudget.block])
    }

    @Test func aFreshVersionUsesTheBlockItWasBornWith() throws {
        let counter = WrapCounter(used: 1, reserved: WrapBudget.block)
        var reservations: [UInt64] = []
        for _ in 1..<WrapBudget.block { _ = try take(counter, &reservations) }
        #expect(reservations.isEmpty)
        _ = try take(counter, &reservations)
        #expect(reservations == [2 * WrapBudget.block])
    }

    @Test func rotationIsAskedForOnceABlockFromHalfTheLimitOn() throws {
        var reservations: [UInt64] = []
        let below = WrapCounter(reserved: WrapBudget.rotateAt - WrapBudget.block)
        #expect(try take(below, &reservations) == false)
        #expect(reservations == [WrapBudget.rotateAt])
        let counter = WrapCounter(reserved: WrapBudget.rotateAt)
        var asked = 0
        for _ in 0..<3 * WrapBudget.block where try take(counter, &reservations) { asked += 1 }
        #expect(asked == 3)
        #expect(WrapBudget.rotateAt == 1 << 31 && WrapBudget.limit == 1 << 32 && WrapBudget.block == 1 << 16)
    }

    @Test func theLimitIsNeverPassed() throws {
        let counter = WrapCounter(reserved: WrapBudget.limit - 3)
        var reservations: [UInt64] = []
        for _ in 0..<3 { _ = try take(counter, &reservations) }
        #expect(reservations == [WrapBudget.limit])
        #expect(throws: Refusal(.wrapLimit)) { try counter.take { _ in Issue.record("reserved past the limit") } }
        let exhausted = WrapCounter(reserved: WrapBudget.limit)
        #expect(throws: Refusal(.wrapLimit)) { try exhausted.take { _ in Issue.record("reserved past the limit") } }
        let damaged = WrapCounter(reserved: .max)
        #expect(throws: Refusal(.wrapLimit)) { try damaged.take { _ in Issue.record("reserved past the limit") } }
    }

    @Test func aReservationThatFailsTakesNothing() throws {
        let counter = WrapCounter(reserved: 0)
        for _ in 0..<3 {
            #expect(throws: Refusal(.storeUnavailable)) {
                try counter.take { _ throws(Refusal) in throw Refusal(.storeUnavailable) }
            }
        }
        #expect(counter.reserved == 0)
        var reservations: [UInt64] = []
        _ = try take(counter, &reservations)
        #expect(reservations == [WrapBudget.block])
    }
}
