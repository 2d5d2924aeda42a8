/// Takes typed values out of a parsed document and collects every problem on the way.
///
/// Each key is asked for once, which also makes it a known key; ``finish()`` reports what nobody asked for. A method that returns nil
/// has found no key or has noted the problem: either way the caller keeps its default.
struct ConfigurationReader {
    /// A value and its line.
    struct Found<Value> {
        let value: Value
        let line: Int
    }

    private let file: String
    private let entries: [TOMLEntry]
    private let index: [String: Int]
    private var known: [String] = []
    private var tables: Set<String> = []
    private var openTables: Set<String> = []
    private var problems: [ConfigurationProblem] = []

    /// A reader of `entries`, which came from `file`.
    init(entries: [TOMLEntry], file: String) {
        self.file = file
        self.entries = entries
        self.index = Dictionary(entries.enumerated().map { ($1.path, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Notes that `message` is wrong at `line`.
    mutating func problem(_ line: Int?, _ message: String) {
        problems.append(ConfigurationProblem(file: file, line: line, message: message))
    }

    /// The line of the key or table at `path`.
    func line(_ path: String) -> Int? { index[path].map { entries[$0].line } }

    /// Declares a table; a value in its place is a problem. The keys of an `open` table are the user's own.
    mutating func table(_ path: String, open: Bool = false) {
        known.append(path)
        tables.insert(path)
        if open { openTables.insert(path) }
        guard let position = index[path], entries[position].value != .table else { return }
        // [[name]] makes an array of tables.
        let entry = entries[position]
        problem(entry.line, "\(path) must be a table, [\(path)], not \(entry.value.kind)")
    }

    /// The value at `path`, whatever its type.
    private mutating func take(_ path: String) -> TOMLEntry? {
        known.append(path)
        return index[path].map { entries[$0] }
    }

    /// The string at `path`: not empty, at most `maximum` bytes, no control characters.
    mutating func string(_ path: String, maximum: Int) -> Found<String>? {
        guard let entry = take(path) else { return nil }
        guard case .string(let value) = entry.value else {
            problem(entry.line, "\(path) must be a string, not \(entry.value.kind)")
            return nil
        }
        return checked(path, Found(value: value, line: entry.line), maximum: maximum, mayBeEmpty: false)
    }

    /// The absolute path at `path`, at most `maximum` bytes; `limit` says whose bound that is.
    mutating func absolutePath(
        _ path: String, maximum: Int = ConfigurationLimits.pathBytes, limit: String = "PATH_MAX"
    ) -> Found<String>? {
        guard let found = string(path, maximum: Int.max) else { return nil }
        guard found.value.utf8.first == UInt8(ascii: "/") else {
            problem(found.line, "\(path) must be an absolute path (begin with '/')")
            return nil
        }
        guard found.value.utf8.count <= maximum else {
            problem(found.line, "\(path) is \(found.value.utf8.count) bytes long; at most \(maximum) fit (\(limit))")
            return nil
        }
        return found
    }

    /// The integer at `path` within `range`.
    mutating func integer(_ path: String, in range: ClosedRange<Int>) -> Found<Int>? {
        guard let entry = take(path) else { return nil }
        guard case .integer(let value) = entry.value else {
            problem(entry.line, "\(path) must be an integer, not \(entry.value.kind)")
            return nil
        }
        guard let small = Int(exactly: value), range.contains(small) else {
            problem(entry.line, "\(path) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return Found(value: small, line: entry.line)
    }

    /// The boolean at `path`.
    mutating func boolean(_ path: String) -> Found<Bool>? {
        guard let entry = take(path) else { return nil }
        guard case .boolean(let value) = entry.value else {
            problem(entry.line, "\(path) must be true or false, not \(entry.value.kind)")
            return nil
        }
        return Found(value: value, line: entry.line)
    }

    /// The word at `path`, one of a closed set.
    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ path: String, of type: Choice.Type
    ) -> Found<Choice>? where Choice.RawValue == String {
        guard let found = string(path, maximum: ConfigurationLimits.nameBytes) else { return nil }
        guard let choice = Choice(rawValue: found.value) else {
            let words = Choice.allCases.map { "\"\($0.rawValue)\"" }
            problem(found.line, "\(path) must be \(words.count > 1 ? "one of " : "")\(words.joined(separator: ", "))")
            return nil
        }
        return Found(value: choice, line: found.line)
    }

    /// The keys of the open table at `path`, from top to bottom, with their names; values that are not strings are problems.
    mutating func strings(under path: String, maximum: Int) -> [(name: String, found: Found<String>)] {
        let prefix = path + "."
        let depth = path.split(separator: ".").count + 1
        // What stands deeper belongs to a nested table, which is a problem of its own.
        return entries.filter { $0.depth == depth && $0.path.hasPrefix(prefix) }.compactMap { entry in
            let name = String(entry.path.dropFirst(prefix.count))
            guard case .string(let value) = entry.value else {
                problem(entry.line, "\(entry.path) must be a string, not \(entry.value.kind)")
                return nil
            }
            let found = Found(value: value, line: entry.line)
            return checked(entry.path, found, maximum: maximum, mayBeEmpty: true).map { (name, $0) }
        }
    }

    private mutating func checked(_ path: String, _ found: Found<String>, maximum: Int, mayBeEmpty: Bool) -> Found<String>? {
        if found.value.isEmpty && !mayBeEmpty {
            problem(found.line, "\(path) is empty; leave the line out to have the default")
            return nil
        }
        guard found.value.utf8.count <= maximum else {
            problem(found.line, "\(path) is \(found.value.utf8.count) bytes long; at most \(maximum) are allowed")
            return nil
        }
        // A zero byte would cut the text short in every system call; the others hide in logs.
        guard !found.value.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            problem(found.line, "\(path) holds a control character")
            return nil
        }
        return found
    }

    /// All problems from top to bottom, unknown keys among them; empty for a good file.
    mutating func finish() -> [ConfigurationProblem] {
        var reported: String?
        for entry in entries where !known.contains(entry.path) {
            if let reported, entry.path.hasPrefix(reported) { continue }
            // Keys inside what is known as a plain value, or in an open table, have their problem already.
            if openTables.contains(where: { entry.path.hasPrefix($0 + ".") }) { continue }
            if known.contains(where: { !tables.contains($0) && entry.path.hasPrefix($0 + ".") }) { continue }
            if entry.value == .table { reported = entry.path + "." }
            let name = entry.value == .table ? "unknown table [\(entry.path)]" : "unknown key \(entry.path)"
            let hint = NearestName.of(entry.path, among: known).map { "; did you mean \($0)?" } ?? ""
            problem(entry.line, name + hint)
        }
        // Stable by hand: problems without a line come last, in the order they were found.
        let ordered = problems.enumerated().sorted {
            ($0.element.line ?? Int.max, $0.offset) < ($1.element.line ?? Int.max, $1.offset)
        }
        .map(\.element)
        guard ordered.count > ConfigurationLimits.listedProblems else { return ordered }
        let more = ordered.count - ConfigurationLimits.listedProblems
        return ordered.prefix(ConfigurationLimits.listedProblems)
            + [ConfigurationProblem(file: file, line: nil, message: "and \(more) more problems")]
    }
}
