//! The instructions of pickles (Python's Lib/pickletools.py describes them all).

use super::super::super::super::error::WeightProblem;
use super::machine::Machine;
use super::value::Value;

impl Machine<'_> {
    /// Does what an instruction says, which stood at `at`.
    pub(super) fn step(&mut self, instruction: u8, at: usize) -> Result<(), WeightProblem> {
        match instruction {
            0x80 => self.protocol(),
            // FRAME: lengths of frames are hints for readers that buffer.
            0x95 => self.source.u64().map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop_or_mark(),
            b'1' => self.items().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Boolean(true)),
            0x89 => self.push(Value::Boolean(false)),
            b'J' => {
                let value = self.source.i32()?;
                self.push(Value::Integer(value.into()))
            }
            b'K' => {
                let value = self.source.byte()?;
                self.push(Value::Integer(value.into()))
            }
            b'M' => {
                let value = self.source.u16()?;
                self.push(Value::Integer(value.into()))
            }
            0x8a => {
                let length = self.source.byte()?;
                self.long(length.into())
            }
            0x8b => {
                let length = self.source.u32()?;
                self.long(length.into())
            }
            b'G' => {
                self.source.u64()?;
                self.push(Value::Other)
            }
            // Texts: Python 2's of protocol 2, and UTF-8.
            b'U' | 0x8c => {
                let length = self.source.byte()?;
                self.text(length.into())
            }
            b'T' | b'X' => {
                let length = self.source.u32()?;
                self.text(length.into())
            }
            0x8d => {
                let length = self.source.u64()?;
                self.text(length)
            }
            b'C' => {
                let length = self.source.byte()?;
                self.bytes(length.into())
            }
            b'B' => {
                let length = self.source.u32()?;
                self.bytes(length.into())
            }
            0x8e | 0x96 => {
                let length = self.source.u64()?;
                self.bytes(length)
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b't' => {
                let items = self.items()?;
                self.push(Value::Tuple(items))
            }
            b']' => self.push(Value::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])
            }
            b'e' => {
                let items = self.items()?;
                self.append(&items)
            }
            b'l' => {
                let items = self.items()?;
                self.push(Value::List(items))
            }
            b'}' => self.push(Value::Dictionary(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])
            }
            b'u' => {
                let items = self.items()?;
                self.insert(&items)
            }
            // Sets.
            0x8f => self.push(Value::Other),
            0x90 => self.items().map(drop),
            0x91 => {
                self.items()?;
                self.push(Value::Other)
            }
            b'c' => {
                let (module, name) = (self.source.line()?, self.source.line()?);
                self.global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (module, name) = (self.name(module)?, self.name(name)?);
                self.global(module, name)
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)
            }
            b'b' => {
                // Attributes of dictionaries and parameters, as `_metadata`; no tensor needs them.
                self.pop()?;
                self.top().map(drop)
            }
            b'Q' => {
                let identifier = self.pop()?;
                self.persistent(identifier)
            }
            b'q' => {
                let index = self.source.byte()?;
                self.remember(index.into())
            }
            b'r' => {
                let index = self.source.u32()?;
                self.remember(index as usize)
            }
            0x94 => self.remember(self.remembered),
            b'h' => {
                let index = self.source.byte()?;
                self.recall(index.into())
            }
            b'j' => {
                let index = self.source.u32()?;
                self.recall(index as usize)
            }
            _ => Err(unknown(instruction, at)),
        }
    }
}

/// An instruction that is not read.
fn unknown(instruction: u8, at: usize) -> WeightProblem {
    match instruction {
        b'I' | b'L' | b'F' | b'S' | b'V' | b'p' | b'g' | b'd' | b'i' | b'o' | b'P' => {
            WeightProblem::Harmful(format!(
                "the pickle has the instruction {:?} at byte {at}, of protocols 0 and 1, which torch.save does not write; \
             save the state_dict anew",
                char::from(instruction)
            ))
        }
        0x82..=0x84 | 0x92 | 0x97 | 0x98 => WeightProblem::Harmful(format!(
            "the pickle has the instruction 0x{instruction:02x} at byte {at}, which no state_dict needs"
        )),
        _ => {
            WeightProblem::Damaged(format!("the pickle has no instruction 0x{instruction:02x}, at byte {at}"))
        }
    }
}
