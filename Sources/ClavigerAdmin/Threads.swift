import Glibc

/// Threads that block, which a measurement needs.
package enum Threads {
    private final class Work: Sendable {
        let index: Int
        let body: @Sendable (Int) -> Void

        init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.index = index
            self.body = body
        }
    }

    /// Calls `body` with 0 ..< `count`, each on a thread of its own, and waits for all.
    ///
    /// - Returns: how many could be started.
    package static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) -> Int {
        var threads: [pthread_t] = []
        for index in 0..<count {
            let work = Unmanaged.passRetained(Work(index, body))
            var thread = pthread_t()
            let code = pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
                    work.body(work.index)
                    return nil
                }, work.toOpaque())
            guard code == 0 else {
                work.release()
                break
            }
            threads.append(thread)
        }
        for thread in threads { pthread_join(thread, nil) }
        return threads.count
    }
}
