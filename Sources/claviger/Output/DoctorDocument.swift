import ClavigerAdmin
import ClavigerClient
import ClavigerCore

/// A doctor's report as it is printed.
struct DoctorDocument: Encodable {
    var token: Token
    var sections: [Section]
    var speeds: [Speed]
    var suites: [String]
    var settings: [String]
    var usable: Bool
    var dangerous: Bool
    var fullyTried: Bool

    struct Token: Encodable {
        var label: String
        var manufacturer: String
        var model: String
        var serial: String
        var library: String
        var minimumPIN: UInt
        var maximumPIN: UInt
        /// nil: the token does not tell; 0: no limit.
        var sessions: UInt?
    }

    struct Section: Encodable {
        var title: String
        var rows: [Row]
    }

    struct Row: Encodable {
        var name: String
        var verdict: String
        var detail: String
    }

    struct Speed: Encodable {
        var operation: String
        var subject: String
        var sessions: Int
        var perSecond: Double?
        var failure: String?
    }

    init(_ report: DoctorReport) {
        token = Token(
            label: report.label, manufacturer: report.manufacturer, model: report.model, serial: report.serial,
            library: report.library, minimumPIN: report.pinLengths.lowerBound, maximumPIN: report.pinLengths.upperBound,
            sessions: report.sessions)
        sections = report.sections.map { section in
            Section(
                title: section.title,
                rows: section.rows.map { Row(name: $0.name, verdict: $0.verdict.rawValue, detail: $0.detail) })
        }
        speeds = report.speeds.map {
            Speed(
                operation: $0.operation, subject: $0.subject, sessions: $0.sessions, perSecond: $0.perSecond, failure: $0.failure)
        }
        suites = report.suites.map(\.name)
        settings = report.settings
        usable = !report.suites.isEmpty
        dangerous = !report.dangers.isEmpty
        fullyTried = report.open.isEmpty
    }

    /// Lines for people.
    static func text(_ report: DoctorReport) -> String {
        var parts = [
            Table.pairs([
                ("token", report.label), ("manufacturer", report.manufacturer), ("model", report.model),
                ("serial", report.serial), ("library", report.library),
            ])
        ]
        for section in report.sections {
            var table = Table([section.title.uppercased(), "VERDICT", "DETAIL"])
            for row in section.rows { table.add([row.name, row.verdict.rawValue, row.detail]) }
            parts.append(table.text)
        }
        if !report.speeds.isEmpty {
            var table = Table(["SPEED", "WITH", "SESSIONS", "PER SECOND"])
            for speed in report.speeds {
                let rate = speed.perSecond.map { String(Int($0)) } ?? "not measured: \(speed.failure ?? "")"
                table.add([speed.operation, speed.subject, String(speed.sessions), rate])
            }
            parts.append(table.text)
        }
        parts.append(conclusion(report))
        return parts.joined(separator: "\n\n")
    }

    private static func conclusion(_ report: DoctorReport) -> String {
        var lines: [String] = []
        if report.suites.isEmpty {
            lines.append("conclusion: Claviger cannot use this token: no suite works on it")
        } else {
            lines.append("conclusion: it carries \(report.suites.map(\.name).joined(separator: ", "))")
        }
        for danger in report.dangers { lines.append("dangerous: \(danger.name): \(danger.detail)") }
        if !report.dangers.isEmpty {
            lines.append("keys are not safe in it from whoever has the user PIN: use it for tests alone, or not at all")
        }
        for row in report.open { lines.append("not tried: \(row.name): \(row.detail)") }
        if !report.dangers.allSatisfy(\.isAboutThieves) { lines.append("the daemon refuses it, whatever the settings are") }
        if report.settings.isEmpty {
            lines.append("settings: it needs none")
        } else {
            lines.append("settings, for the configuration or a profile:")
            lines += report.settings.map { "  " + $0 }
        }
        return lines.joined(separator: "\n")
    }
}
