use std::{fmt, ops::Range};

/// Writes rows as columns that stand under each other: numbers to the right, text to the left.
pub(super) fn write<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [String; N],
    rows: impl Iterator<Item = [String; N]>,
    numbers: Range<usize>,
) -> fmt::Result {
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if numbers.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
