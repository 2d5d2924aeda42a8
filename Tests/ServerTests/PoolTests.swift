import ClavigerCore
import ClavigerWire
import Testing

@testable import ClavigerServer

@Suite struct PoolTests {
    private static func append(_ chain: inout ChunkChain, _ bytes: [UInt8]) { bytes.withUnsafeBytes { chain.append($0) } }

    private static func move(_ chain: inout ChunkChain, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { chain.move($0) }
        return bytes
    }

    /// A chain does what an array does, whatever is done to it, and leaves nothing.
    @Test(arguments: 0..<4) func aChainIsAQueueOfBytes(seed: UInt64) throws {
        let pool = try LockedPool(chunkCount: 64)
        var random = SplitMix64(seed: seed)
        var model: [UInt8] = []
        var chain = ChunkChain(pool)
        for step in 0..<400 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5:
                let count = Int.random(in: 0...(Bool.random(using: &random) ? 50 : 9_000), using: &random)
                guard chain.reserve(count, for: .output) else {
                    let room = pool.available * ServerLimits.chunkSize + chain.room
                    #expect(room < count)
                    continue
                }
                // Numbered in place, never zero, so that misplaced and unwiped bytes show.
                let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                    for index in 0..<count { buffer[index] = UInt8(truncatingIfNeeded: index &+ step) | 1 }
                    filled = count
                }
                PoolTests.append(&chain, bytes)
                model += bytes
            case 5..<7:
                guard chain.room > 0 else { continue }
                let part = chain.writable()
                let count = Int.random(in: 0...part.count, using: &random)
                for index in 0..<count { part[index] = 0x77 }
                chain.commit(count)
                model += [UInt8](repeating: 0x77, count: count)
            case 7..<9:
                let count = Int.random(in: 0...model.count, using: &random)
                let moved = PoolTests.move(&chain, count)
                #expect(moved == Array(model.prefix(count)))
                model.removeFirst(count)
            case 9..<11:
                let first = chain.readable()
                #expect(first.isEmpty == model.isEmpty && Array(first) == Array(model.prefix(first.count)))
                chain.drop(first.count)
                model.removeFirst(first.count)
            default:
                chain.clear()
                model = []
            }
            let count = chain.count
            #expect(count == model.count)
            if chain.isEmpty, chain.room == 0 { #expect(pool.available == 64 && pool.isWiped) }
        }
        chain.clear()
        #expect(pool.available == 64 && pool.isWiped)
    }

    @Test func aChainGivesBackItsChunksWhenItGoes() throws {
        let pool = try LockedPool(chunkCount: 8)
        do {
            var chain = ChunkChain(pool)
            let isReserved = chain.reserve(20_000, for: .output)
            #expect(isReserved)
            PoolTests.append(&chain, [UInt8](repeating: 9, count: 17_000))
            #expect(pool.available == 3 && !pool.isWiped)
        }
        #expect(pool.available == 8 && pool.isWiped)
    }

    @Test func inputLeavesTheReserveToReplies() throws {
        let reserve = ServerLimits.replyReserveChunks
        let pool = try LockedPool(chunkCount: reserve + 2)
        var input = ChunkChain(pool)
        var output = ChunkChain(pool)
        let tooMuch = input.reserve(3 * ServerLimits.chunkSize, for: .input)
        #expect(!tooMuch && pool.available == reserve + 2)
        let allowed = input.reserve(2 * ServerLimits.chunkSize, for: .input)
        let oneMore = input.reserve(2 * ServerLimits.chunkSize + 1, for: .input)
        #expect(allowed && !oneMore)
        let reply = output.reserve(Limits.maximumReplySize, for: .output)
        #expect(reply && pool.available == 0)
        let oneByte = output.reserve(Limits.maximumReplySize + 1, for: .output)
        #expect(!oneByte)
    }

    @Test func aFIFOKeepsTheOrder() {
        var queue = FIFO<Int>()
        var model: [Int] = []
        var random = SplitMix64(seed: 5)
        for step in 0..<5_000 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0..<3:
                queue.push(step)
                model.append(step)
            case 3:
                let popped = queue.pop()
                #expect(popped == model.first)
                if !model.isEmpty { model.removeFirst() }
            default:
                let index = model.firstIndex { $0 % 3 == 0 }
                let removed = queue.remove { $0 % 3 == 0 }
                #expect(removed == index.map { model[$0] })
                if let index { model.remove(at: index) }
            }
            #expect(queue.count == model.count)
        }
    }
}

@Suite struct MemoryPlanTests {
    private static let mebibyte = 1 << 20

    @Test func takesWhatIsAskedWhenThereIsNoLimit() throws {
        let plan = try MemoryPlan.make(workers: 7, automatic: 2, allowed: nil)
        #expect(plan.workers == 7 && plan.poolChunks == ServerLimits.preferredPoolChunks + 7 + 2)
        #expect(try MemoryPlan.make(workers: nil, automatic: 3, allowed: nil).workers == 3)
    }

    @Test func fitsTwoWorkersIntoTheUsualLimit() throws {
        let plan = try MemoryPlan.make(workers: nil, automatic: 8, allowed: 8 * MemoryPlanTests.mebibyte)
        #expect(plan.workers == 2)
        #expect(plan.total <= 8 * MemoryPlanTests.mebibyte - ServerLimits.memoryForOthers)
        #expect(plan.poolChunks >= ServerLimits.minimumPoolChunks)
    }

    @Test func refusesACountThatDoesNotFitAndNamesTheNeed() throws {
        #expect(throws: ServerError.self) { try MemoryPlan.make(workers: 3, automatic: 1, allowed: 8 * MemoryPlanTests.mebibyte) }
        #expect(throws: ServerError.self) { try MemoryPlan.make(workers: nil, automatic: 1, allowed: MemoryPlanTests.mebibyte) }
        do throws(ServerError) {
            _ = try MemoryPlan.make(workers: 3, automatic: 1, allowed: 8 * MemoryPlanTests.mebibyte)
        } catch {
            guard case .lockedMemory(let needed, _) = error else {
                Issue.record("another error: \(error)")
                return
            }
            #expect("\(error)".contains("LimitMEMLOCK"))
            // What it names is enough, and a byte less is not.
            #expect(try MemoryPlan.make(workers: 3, automatic: 1, allowed: needed).workers == 3)
            #expect(throws: ServerError.self) { try MemoryPlan.make(workers: 3, automatic: 1, allowed: needed - 1) }
        }
    }

    @Test func seesTheCapability() {
        #expect(MemoryPlan.hasLockCapability("Name:\tx\nCapEff:\t0000000000004000\n"))
        #expect(!MemoryPlan.hasLockCapability("Name:\tx\nCapEff:\t00000000ffffbfff\n"))
        #expect(!MemoryPlan.hasLockCapability("CapPrm:\t0000000000004000\n"))
    }

    @Test func theServerTakesNoMoreThanThePlanSays() throws {
        let plan = try MemoryPlan.make(workers: 1, automatic: 1, allowed: nil)
        let arenas = [try Arena(.token), try Arena(.token), try Arena(.reserved)]
        let bytes = arenas.reduce(0) { total, arena in
            total + [arena.request, arena.reply].map(\.bytes.count).reduce(0) { $0 + ($1 + 4_095) / 4_096 * 4_096 }
                + (arena.guestRequest?.bytes.count ?? 0) + (arena.guestReply?.bytes.count ?? 0)
        }
        // A worker and its spare have scratch memory of the service besides.
        #expect(plan.total == bytes + 2 * Service.lockedBytesPerWorker + plan.poolChunks * ServerLimits.chunkSize)
    }
}

@Suite struct RequestShapeTests {
    private static func admits(_ opcode: Opcode, _ body: [UInt8]) -> Bool {
        TestClient.frame(opcode, id: 1, body: body).withUnsafeBytes { RequestShape.isGuest($0, opcode: opcode) }
    }

    private static let key: [UInt8] = [0, 1, 0, 0, 0, 2, 0x61, 0x62]

    @Test func admitsOneSmallItem() {
        let one: [UInt8] = [0, 2, 0, 0, 0, 4, 0, 0, 0, 1]
        for opcode in [Opcode.wrap, .unwrap, .rewrap] {
            #expect(RequestShapeTests.admits(opcode, RequestShapeTests.key + one))
            #expect(RequestShapeTests.admits(opcode, one + [0, 3, 0, 0, 0, 1, 1]))
        }
        for opcode in Opcode.allCases where ![.wrap, .unwrap, .rewrap].contains(opcode) {
            #expect(!RequestShapeTests.admits(opcode, one))
        }
    }

    @Test(
        arguments: [
            [], [0], [0, 2], [0, 2, 0, 0, 0, 4, 0, 0, 0], [0, 2, 0, 0, 0, 3, 0, 0, 1], [0, 2, 0, 0, 0, 4, 0, 0, 0, 2],
            [0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1], [0, 1, 0xff, 0xff, 0xff, 0xff], [0, 3, 0, 0, 0, 0],
            [0, 2, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        ] as [[UInt8]])
    func admitsNothingElse(_ body: [UInt8]) {
        #expect(!RequestShapeTests.admits(.wrap, body))
        #expect(!RequestShapeTests.admits(.wrap, RequestShapeTests.key + body))
    }

    @Test func admitsAFrameOfTheGreatestGuest() {
        let head: [UInt8] = [0, 2, 0, 0, 0, 4, 0, 0, 0, 1]
        let room = ServerLimits.guestFrame - Limits.headerLength - head.count
        #expect(RequestShapeTests.admits(.wrap, head + [UInt8](repeating: 0, count: room)))
        #expect(!RequestShapeTests.admits(.wrap, head + [UInt8](repeating: 0, count: room + 1)))
    }
}
