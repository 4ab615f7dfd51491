//! BERTScore against bert-score on two tiny encoders (`tools/oracle/bertscore.py`), and folders that
//! cannot be used.

#[cfg(test)]
mod scores;
#[cfg(test)]
mod strict;
