/// Runs `body` and turns its error into one of another layer.
package func mapping<R: ~Copyable, E: Error, F: Error>(
    _ transform: (E) -> F, _ body: () throws(E) -> R
) throws(F) -> R {
    do throws(E) { return try body() } catch { throw transform(error) }
}
