//! The stack machine: what it holds, how much of it, and what single instructions do with it.

use super::super::super::super::error::WeightProblem;
use super::globals;
use super::source::{Source, Span};
use super::value::{Id, Value};

/// Instructions of one pickle: a network's take some thousand, a training's state some ten thousand.
const MOST_INSTRUCTIONS: usize = 1 << 21;

/// Values of one pickle, of 32 bytes each.
const MOST_VALUES: usize = 1 << 19;

/// Tensors, storages and copied items of dictionaries, which take more memory than the instructions that make them.
const MOST_OBJECTS: usize = 1 << 16;

/// What a pickle makes.
#[derive(Debug)]
pub(in super::super) struct Unpickled<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    /// The last value on the stack.
    pub(in super::super) root: Id,
    /// Where the pickle ends: the position after its STOP.
    pub(in super::super) end: usize,
}

/// Runs the pickle that starts at `at`.
///
/// # Errors
/// When it is damaged, has instructions or names that are not known, or makes unreasonably much.
pub(in super::super) fn unpickle(bytes: &[u8], at: usize) -> Result<Unpickled<'_>, WeightProblem> {
    let mut machine = Machine {
        source: Source::new(bytes, at),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        remembered: 0,
        objects: 0,
    };
    let root = machine.run()?;
    Ok(Unpickled { bytes, values: machine.values, root, end: machine.source.at() })
}

impl Unpickled<'_> {
    /// The value of an index.
    pub(in super::super) fn value(&self, id: Id) -> &Value {
        // Indices are of this table; should one not be, it is of no value.
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// All values.
    pub(in super::super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// A text, or the beginning of one that is longer than any name; with replacement characters where it is not UTF-8. A
    /// file can use one text of its own length thousands of times.
    pub(in super::super) fn text(&self, span: &Span) -> String {
        const LONGEST: usize = 512;
        let bytes = self.bytes.get(span.clone()).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(bytes)).into_owned()
    }

    /// Whether a text is this one.
    pub(in super::super) fn is_text(&self, span: &Span, text: &str) -> bool {
        self.bytes.get(span.clone()) == Some(text.as_bytes())
    }

    /// The bytes of a long integer.
    pub(in super::super) fn long(&self, span: &Span) -> &[u8] {
        self.bytes.get(span.clone()).unwrap_or_default()
    }
}

/// The state of the machine.
pub(super) struct Machine<'a> {
    pub(super) source: Source<'a>,
    values: Vec<Value>,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack where marks are.
    pub(super) marks: Vec<usize>,
    /// What is remembered, by number; writers count from 0 or 1.
    memo: Vec<Option<Id>>,
    /// How many of them there are.
    pub(super) remembered: usize,
    /// Tensors, storages and copied items.
    objects: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, WeightProblem> {
        for _ in 0..MOST_INSTRUCTIONS {
            let at = self.source.at();
            let instruction = self.source.byte()?;
            if instruction == b'.' {
                return self.pop();
            }
            self.step(instruction, at)?;
        }
        Err(WeightProblem::Harmful(format!(
            "the pickle has more than {MOST_INSTRUCTIONS} instructions; save the state_dict alone"
        )))
    }

    pub(super) fn protocol(&mut self) -> Result<(), WeightProblem> {
        match self.source.byte()? {
            2..=5 => Ok(()),
            other => Err(WeightProblem::Damaged(format!(
                "the pickle has protocol {other}, and protocols 2 to 5 are read"
            ))),
        }
    }

    /// Adds a value and returns its index.
    pub(super) fn add(&mut self, value: Value) -> Result<Id, WeightProblem> {
        if self.values.len() >= MOST_VALUES {
            return Err(WeightProblem::Harmful(format!(
                "the pickle makes more than {MOST_VALUES} objects; save the state_dict alone"
            )));
        }
        self.values.push(value);
        Ok((self.values.len() - 1) as Id)
    }

    /// Counts what is going to be made.
    pub(super) fn count(&mut self, objects: usize) -> Result<(), WeightProblem> {
        self.objects = self.objects.saturating_add(objects);
        if self.objects > MOST_OBJECTS {
            return Err(WeightProblem::Harmful(format!(
                "the pickle makes more than {MOST_OBJECTS} tensors and storages; save the state_dict alone"
            )));
        }
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), WeightProblem> {
        let id = self.add(value)?;
        self.push_id(id);
        Ok(())
    }

    pub(super) fn push_id(&mut self, id: Id) {
        self.stack.push(id);
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    fn value_mut(&mut self, id: Id) -> Option<&mut Value> {
        self.values.get_mut(id as usize)
    }

    /// Whether the object that is made next is not part of another one.
    pub(super) fn is_outermost(&self) -> bool {
        self.stack.is_empty()
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Result<Id, WeightProblem> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.underflow()),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Id, WeightProblem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn pop_or_mark(&mut self) -> Result<(), WeightProblem> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// All values above the last mark, which goes.
    pub(super) fn items(&mut self) -> Result<Vec<Id>, WeightProblem> {
        let mark = self.marks.pop().ok_or_else(|| self.underflow())?;
        // Not `split_off`: from 0 it would hand out the stack's whole capacity.
        Ok(self.stack.drain(mark.min(self.stack.len())..).collect())
    }

    fn underflow(&self) -> WeightProblem {
        WeightProblem::Damaged(format!(
            "the pickle takes more from its stack than it has, before byte {}",
            self.source.at()
        ))
    }

    pub(super) fn tuple(&mut self, count: usize) -> Result<(), WeightProblem> {
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
        let start = start.ok_or_else(|| self.underflow())?;
        let items = self.stack.drain(start..).collect();
        self.push(Value::Tuple(items))
    }

    pub(super) fn long(&mut self, length: u64) -> Result<(), WeightProblem> {
        let start = self.source.at();
        let value = match self.source.long(length)? {
            Some(value) => Value::Integer(value),
            None => Value::Long(start..self.source.at()),
        };
        self.push(value)
    }

    pub(super) fn text(&mut self, length: u64) -> Result<(), WeightProblem> {
        let span = self.source.span(length)?;
        self.push(Value::Text(span))
    }

    pub(super) fn bytes(&mut self, length: u64) -> Result<(), WeightProblem> {
        self.source.span(length)?;
        self.push(Value::Other)
    }

    pub(super) fn append(&mut self, items: &[Id]) -> Result<(), WeightProblem> {
        let top = self.top()?;
        match self.value_mut(top) {
            Some(Value::List(list)) => {
                list.extend_from_slice(items);
                Ok(())
            }
            Some(Value::Other) => Ok(()),
            _ => Err(self.mismatch("an item is added to what is no list")),
        }
    }

    pub(super) fn insert(&mut self, items: &[Id]) -> Result<(), WeightProblem> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.value_mut(top) {
            Some(Value::Dictionary(dictionary)) if rest.is_empty() => {
                dictionary.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            Some(Value::Other) => Ok(()),
            _ => Err(self.mismatch("an item is added to what is no dictionary")),
        }
    }

    pub(super) fn mismatch(&self, what: &str) -> WeightProblem {
        WeightProblem::Damaged(format!("{what}, before byte {} of the pickle", self.source.at()))
    }

    /// A text of the pickle as a name.
    pub(super) fn name(&self, id: Id) -> Result<&'a str, WeightProblem> {
        match self.value(id) {
            Value::Text(span) => self.source.text(span),
            _ => Err(self.mismatch("a name is no text")),
        }
    }

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), WeightProblem> {
        match globals::find(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.refuse_global(module, name)),
        }
    }

    pub(super) fn remember(&mut self, index: usize) -> Result<(), WeightProblem> {
        let top = self.top()?;
        if index >= MOST_VALUES {
            return Err(WeightProblem::Harmful(format!(
                "the pickle remembers more than {MOST_VALUES} objects; save the state_dict alone"
            )));
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        if let Some(place) = self.memo.get_mut(index) {
            self.remembered += usize::from(place.is_none());
            *place = Some(top);
        }
        Ok(())
    }

    pub(super) fn recall(&mut self, index: usize) -> Result<(), WeightProblem> {
        let Some(&Some(id)) = self.memo.get(index) else {
            return Err(self.mismatch("an object is used that was not made"));
        };
        self.stack.push(id);
        Ok(())
    }
}
